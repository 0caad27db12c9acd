"""Names of a module that are found elsewhere, when they are first used.

They are given as strings, "package.module:name". These are no imports, and may point to layers above the module.
"""

from __future__ import annotations

import pkgutil
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from sslfast.extras import needed_by


def on_first_use(module: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module for names that are loaded when they are first used.

    Args:
        module: the module's name.
        places: where each name is: "package.module:name", or "package.module:" for a module itself.

    The function raises MissingPackageError where a package that the name needs is not installed.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        with needed_by(f"{module}.{name}"):
            return pkgutil.resolve_name(places[name])

    return find


def moved(module: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module for names that have moved, each use of which is a DeprecationWarning.

    Args:
        module: the module's name.
        places: where each name is now: "package.module:name".
    """
    load = on_first_use(module, places)

    def find(name: str) -> Any:
        value = load(name)
        now = places[name].replace(":", ".")
        warnings.warn(f"{module}.{name} is now {now}", DeprecationWarning, stacklevel=2)
        return value

    return find
