"""Other packages' losses, swapped for ours where they sit."""

import importlib
import sys
from types import ModuleType

from sslfast.nn.compat import lightly, pytorch_metric_learning

# The module that has a package's losses, the classes in their place, and how to get the package.
PACKAGES: dict[str, tuple[str, ModuleType, str]] = {
    "lightly": ("lightly.loss", lightly, "lightly"),
    "pytorch_metric_learning": (
        "pytorch_metric_learning.losses",
        pytorch_metric_learning,
        "pytorch-metric-learning",
    ),
}
_ORIGINALS: dict[str, list[tuple[ModuleType, str, type]]] = {}


def patch(package: str) -> list[str]:
    """Puts the losses of `sslfast.nn.compat` in place of a package's, in every module of it that is loaded.

        sslfast.patch("lightly")
        from lightly.loss import NTXentLoss  # is sslfast.nn.compat.lightly.NTXentLoss

    Call it before the imports of the code that is to use them: names that other code has imported already, objects
    that exist and classes that derive from the originals keep what they have. `unpatch` puts the originals back.

    Args:
        package: "lightly" or "pytorch_metric_learning".

    Returns:
        The names that are now ours, such as "lightly.loss.NTXentLoss".

    Raises:
        ValueError: another package.
        ModuleNotFoundError: the package is not installed.
    """
    _check("patch", package)
    losses, ours, distribution = PACKAGES[package]
    try:
        importlib.import_module(losses)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"patch: cannot import {losses} ({error}); pip install {distribution}", name=error.name
        ) from error
    swapped = []
    for module_name, module in sorted(sys.modules.items()):
        if module is None or f"{module_name}.".partition(".")[0] != package:
            continue
        for name in ours.__all__:
            original = vars(module).get(name)
            if isinstance(original, type) and original.__module__.partition(".")[0] == package:
                setattr(module, name, getattr(ours, name))
                _ORIGINALS.setdefault(package, []).append((module, name, original))
                swapped.append(f"{module_name}.{name}")
    return swapped


def unpatch(package: str) -> None:
    """Puts a package's own losses back where `patch` has put ours; a name that was set since stays.

    Args:
        package: "lightly" or "pytorch_metric_learning".

    Raises:
        ValueError: another package.
    """
    _check("unpatch", package)
    for module, name, original in _ORIGINALS.pop(package, []):
        if vars(module).get(name) is getattr(PACKAGES[package][1], name):
            setattr(module, name, original)


def _check(function: str, package: str) -> None:
    if package not in PACKAGES:
        known = ", ".join(map(repr, PACKAGES))
        raise ValueError(f"{function}: expected one of {known}, got {package!r}")
