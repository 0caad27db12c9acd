"""Self-supervised pre-training of vision encoders, made fast.

`sslfast.pretrain`, `sslfast.evaluate` and `sslfast.load_encoder` do from Python what the `sslfast` command does.
`sslfast.kernels` are the fused ops, `sslfast.nn` the losses as modules: both are usable on their own.
"""

from sslfast.lazy import on_first_use

__version__ = "0.1.0"
__all__ = ["evaluate", "kernels", "load_encoder", "nn", "pretrain"]

# `import sslfast` loads none of them: torch takes seconds, which `sslfast --help` should not.
__getattr__ = on_first_use(
    __name__,
    {
        "evaluate": "sslfast.commands.evaluate:evaluate",
        "kernels": "sslfast.kernels:",
        "load_encoder": "sslfast.weights:load_encoder",
        "nn": "sslfast.nn:",
        "pretrain": "sslfast.commands.pretrain:pretrain",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
