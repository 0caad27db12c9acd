"""Self-supervised pre-training of vision encoders, made fast.

`sslfast.pretrain`, `sslfast.evaluate`, `sslfast.embed`, `sslfast.load_encoder`, `sslfast.list_methods` and
`sslfast.Run`, a run on disk, do from Python what the `sslfast` command does, on data and networks that are
objects, too; `sslfast.register_method` adds a method of one's own.
`sslfast.kernels` are the fused ops, `sslfast.nn` the losses as modules: both are usable on their own.
`sslfast.transforms` makes a method's views for any loader. `sslfast.patch` puts the losses in place of another
package's.
"""

from sslfast.lazy import on_first_use

__version__ = "0.1.0"
__all__ = [
    "Run",
    "embed",
    "evaluate",
    "kernels",
    "list_methods",
    "load_encoder",
    "nn",
    "patch",
    "pretrain",
    "register_method",
    "transforms",
    "unpatch",
]

# `import sslfast` loads none of them: torch takes seconds, which `sslfast --help` should not.
__getattr__ = on_first_use(
    __name__,
    {
        "Run": "sslfast.api.run:Run",
        "embed": "sslfast.api.embed:embed",
        "evaluate": "sslfast.api.evaluate:evaluate",
        "kernels": "sslfast.kernels:",
        "list_methods": "sslfast.commands.list:list_methods",
        "load_encoder": "sslfast.api.encoder:load_encoder",
        "nn": "sslfast.nn:",
        "patch": "sslfast.nn.compat.patch:patch",
        "pretrain": "sslfast.api.pretrain:pretrain",
        "register_method": "sslfast.recipes.registration:register_method",
        "transforms": "sslfast.transforms:",
        "unpatch": "sslfast.nn.compat.patch:unpatch",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
