"""The packages that parts of sslfast need beyond torch and numpy, by the extra of pyproject.toml that has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from sslfast.errors import UsageError

# The modules that an extra's code imports, and the names by which they are installed.
EXTRAS = {
    "train": {
        "torchvision": "torchvision",
        "PIL": "Pillow",
        "pydantic": "pydantic",
        "yaml": "PyYAML",
        "safetensors": "safetensors",
        "tqdm": "tqdm",
    },
    "dali12": {"nvidia.dali": "nvidia-dali-cuda120"},
    "dali13": {"nvidia.dali": "nvidia-dali-cuda130"},
    "data": {"pyarrow": "pyarrow"},
    "huggingface": {"datasets": "datasets"},
    "report": {"sklearn": "scikit-learn"},
    "logging": {"tensorboard": "tensorboard"},
    "wandb": {"wandb": "wandb"},
    "mlflow": {"mlflow": "mlflow-skinny"},
    "completion": {"argcomplete": "argcomplete"},
    "timm": {"timm": "timm"},
    "detection": {"torchmetrics": "torchmetrics", "faster_coco_eval": "faster-coco-eval"},
    "onnx": {"onnx": "onnx", "onnxscript": "onnxscript"},
    "bench": {"matplotlib": "matplotlib"},
}


class MissingPackageError(UsageError, ImportError):
    """A package that an extra brings is not installed. The message gives the command that installs it."""


def missing(extra: str) -> list[str]:
    """Lists the packages of an extra that are not installed, by the names that pip has for them; imports none."""
    return [package for module, package in EXTRAS[extra].items() if not _is_installed(module)]


def require(extra: str, what: str) -> None:
    """Checks that the packages of an extra are installed.

    Args:
        extra: its name in pyproject.toml.
        what: what needs it, the beginning of the message.

    Raises:
        MissingPackageError: one of them is not.
    """
    if packages := missing(extra):
        raise _missing(what, packages, extra)


def install(extra: str) -> str:
    """Names the command that installs an extra, as every shell reads it."""
    return f'pip install "sslfast[{extra}]"'


def dali_extra() -> str:
    """Names the extra that brings DALI for the CUDA of this torch; the newer for a torch without."""
    import torch

    return "dali12" if (torch.version.cuda or "").startswith("12.") else "dali13"


@contextmanager
def needed_by(what: str) -> Iterator[None]:
    """Turns the failure to import a package of an extra into a MissingPackageError, which begins with `what`."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        for extra, modules in EXTRAS.items():
            if module in modules:
                raise _missing(what, missing(extra) or [modules[module]], extra) from error
        raise


def _is_installed(module: str) -> bool:
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:  # not even the package that it is in
        return False
    return spec is not None and spec.origin is not None  # else a folder of that name, as wandb leaves one


def _missing(what: str, packages: list[str], extra: str) -> MissingPackageError:
    return MissingPackageError(f"{what} needs {', '.join(packages)}: {install(extra)}")
