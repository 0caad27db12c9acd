"""Methods of a person's own beside those of the package."""

from __future__ import annotations

import inspect
import re
from typing import TypeVar, get_args

from sslfast.config.settings import fields, shown
from sslfast.errors import UsageError
from sslfast.methods import METHODS, Method
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe, recipes

OURS = frozenset(METHODS)
NAME = re.compile(r"[a-z][a-z0-9_]*")

MethodType = TypeVar("MethodType", bound=type[Method])


def register_method(method: MethodType) -> MethodType:
    """Makes a method known by the name in its settings, as long as the process lasts; returns it, as a decorator.

    `sslfast.methods.base.Method` says what a method is. A name stands for the recipe that its `defaults` make. A
    class takes the place of another one of its name, as a cell of a notebook that runs again has it, but of none
    of the package.

    Raises:
        UsageError: it is no method or lacks a part of one, it has the name of a method or recipe of the package,
            or its defaults make no recipe that can run.
    """
    _check(method)
    name = method_name(method)
    before = METHODS.get(name)
    if before is method:
        return method
    if name in OURS or name in recipes():
        raise UsageError(f"{method.__name__}: Config.name is {name!r}, which sslfast has; choose another")
    METHODS[name] = method
    try:
        check_recipe(load_recipe(name))
    except UsageError as error:
        METHODS.pop(name)
        if before is not None:
            METHODS[name] = before
        raise UsageError(f"{method.__name__}.defaults: {error}") from error
    return method


def method_name(method: type[Method]) -> str:
    """Returns the name of a method: the one word that its `Config.name` allows."""
    return str(get_args(fields(method.Config)["name"].annotation)[0])


def _check(method: type[Method]) -> None:
    """Raises UsageError where a class is no whole method."""
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise UsageError(f"register_method: expected a subclass of sslfast.methods.Method, got {shown(method)}")
    if inspect.isabstract(method):
        raise UsageError(f"{method.__name__}: lacks {', '.join(sorted(method.__abstractmethods__))}")
    for attribute in ("Config", "num_views"):
        if not hasattr(method, attribute):
            raise UsageError(f"{method.__name__}: lacks {attribute}; see sslfast.methods.Method")
    config = method.Config
    name = fields(config).get("name")
    words = get_args(name.annotation) if name else ()
    if len(words) != 1 or not isinstance(words[0], str) or not NAME.fullmatch(words[0]):
        raise UsageError(
            f"{method.__name__}.Config: expected a dataclass of pydantic with `name: Literal[...]` of one word, "
            f"in lower-case letters, digits and underscores, got {shown(name.annotation if name else config)}"
        )
    if config.__pydantic_config__.get("extra") != "forbid":
        raise UsageError(
            f"{method.__name__}.Config: would pass over a misspelt setting; decorate it by "
            "pydantic.dataclasses.dataclass(config=sslfast.config.fields.STRICT)"
        )
