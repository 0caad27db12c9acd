"""Names of a module, and values of a mapping, that are found elsewhere when they are first used.

Their places are given as strings, "package.module:name". These are no imports, and may point to layers above the
module.
"""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib.abc import InspectLoader
from typing import Any, TypeVar

from sslfast.extras import needed_by

Value = TypeVar("Value")


def on_first_use(module: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Makes the `__getattr__` of a module for names that are loaded when they are first used.

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
    """Makes the `__getattr__` of a module for names that have moved, each use of which is a DeprecationWarning.

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


class LazyMapping(MutableMapping[str, Value]):
    """A mapping by names whose values are found elsewhere, each when it is first asked for; others may be set.

    Args:
        places: where each value is: "package.module:name".

    Attributes:
        modules: the modules of these places, by the values' names.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self.modules = {name: place.partition(":")[0] for name, place in places.items()}
        self._places: dict[str, str | None] = dict(places)  # None: set, and so among the values
        self._values: dict[str, Value] = {}

    def __getitem__(self, name: str) -> Value:
        if name not in self._values and (place := self._places[name]):
            self._values[name] = pkgutil.resolve_name(place)
        return self._values[name]

    def __setitem__(self, name: str, value: Value) -> None:
        self._places[name], self._values[name] = None, value

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._values.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def docstring(module: str) -> str:
    """Reads what a module says of itself; it is read, not imported, but for the packages that it is in."""
    spec = importlib.util.find_spec(module)
    source = spec.loader.get_source(module) if spec and isinstance(spec.loader, InspectLoader) else None
    return ast.get_docstring(ast.parse(source or "")) or ""
