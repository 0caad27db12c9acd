"""What Python code gives in place of a name: found, while a block lasts, by the name that settings have for it.

Settings are text: a data set or a network that is an object has a name there that begins with `python:`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

PREFIX = "python:"

_objects: ContextVar[Mapping[str, Any]] = ContextVar("given", default=MappingProxyType({}))


@contextmanager
def given(name: str, value: object) -> Iterator[str]:
    """Lets `find_given` find an object by its name until the block ends; yields the name."""
    token = _objects.set({**_objects.get(), name: value})
    try:
        yield name
    finally:
        _objects.reset(token)


def is_given(name: str) -> bool:
    """Tells whether a name stands for an object, which need not be there any more."""
    return name.startswith(PREFIX)


def find_given(name: str) -> Any | None:
    """Finds the object of a name; None: it is not given now."""
    return _objects.get().get(name)
