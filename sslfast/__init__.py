"""Self-supervised pre-training of vision encoders, made fast.

`sslfast.pretrain`, `sslfast.evaluate` and `sslfast.load_encoder` do from Python what the `sslfast` command does.
`sslfast.kernels` are the fused ops, `sslfast.nn` the losses as modules: both are usable on their own.
`sslfast.patch` puts them in place of another package's losses.
"""

from sslfast.lazy import on_first_use

__version__ = "0.1.0"
__all__ = ["evaluate", "kernels", "load_encoder", "nn", "patch", "pretrain", "unpatch"]

# `import sslfast` loads none of them: torch takes seconds, which `sslfast --help` should not.
__getattr__ = on_first_use(
    __name__,
    {
        "evaluate": "sslfast.commands.evaluate:evaluate",
        "kernels": "sslfast.kernels:",
        "load_encoder": "sslfast.weights:load_encoder",
        "nn": "sslfast.nn:",
        "patch": "sslfast.nn.compat.patch:patch",
        "pretrain": "sslfast.commands.pretrain:pretrain",
        "unpatch": "sslfast.nn.compat.patch:unpatch",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
