"""Settings turned into a dataclass, and what a person is told of those that do not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from sslfast.config.settings import (
    LONGEST,
    fields,
    keys_named,
    set_at,
    setting_keys,
    shown,
    union_members,
)
from sslfast.errors import UsageError
from sslfast.hints import MANY, choices, closest, nearest


def validate(schema: type, values: dict[str, Any], origin: str, help: str | None = None) -> Any:
    """Makes an instance of a schema dataclass out of plain values.

    Args:
        schema: the dataclass.
        values: its settings.
        origin: where they came from, for error messages.
        help: the command that lists the settings, for error messages; the name of a part may follow it.

    Raises:
        UsageError: names each key at fault, what was expected and what came.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(schema)
    try:
        try:
            return adapter.validate_python(values)
        except ValidationError as error:
            return adapter.validate_python(_as_meant(schema, values, error))
    except ValidationError as error:
        faults = [f"{origin}: {_explain(schema, values, fault, help)}" for fault in error.errors()[:MANY]]
        more = [f"and {error.error_count() - MANY} more faults"] if error.error_count() > MANY else []
        raise UsageError("; ".join(faults + more)) from None


def _as_meant(schema: type, values: dict[str, Any], error: ValidationError) -> dict[str, Any]:
    """Makes a list of one out of a number where a list is expected, k=5, and text where that is, classes=0."""
    for fault in error.errors():
        keys, _, expected = _walk(schema, fault["loc"])
        item = next(iter(get_args(expected)), None)
        of_any_length = get_origin(expected) is list or get_args(expected)[1:] == (...,)
        value, key = fault["input"], ".".join(keys)
        if fault["type"] in ("list_type", "tuple_type") and of_any_length and not dataclasses.is_dataclass(item):
            if _is_number(value):
                values = set_at(values, keys, [value], key, None)
        elif fault["type"] == "string_type" and keys[-1].isidentifier() and type(value) is int:
            values = set_at(values, keys, str(value), key, None)
    return values


def _is_number(value: Any) -> bool:
    """Tells whether a value is a number, or the text of one, as 1e-3 is to YAML."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _explain(schema: type, values: Any, fault: Any, help: str | None) -> str:
    """Explains one of pydantic's errors as a person reads it: the key, what was expected, what came."""
    keys, parent, below = _walk(schema, fault["loc"])
    key = ".".join(keys)
    match fault["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            where = _listing(help, fault["loc"][:-1])
            return f"unknown key {key!r}{_nearest_key(schema, values, keys, parent, where)}"
        case "union_tag_invalid":
            tag = fault["ctx"]["tag"]
            hint = nearest(tag, union_members(below), _listing(help, fault["loc"]))
            return f"{key}.name: no {keys[-1]} {shown(tag)}{hint}"
        case "union_tag_not_found":
            return f"{key}.name is missing{choices(union_members(below), _listing(help, fault['loc']))}"
        case "missing":
            return f"{key} is missing"
    if not key:  # of settings that do not go together, which their own message names
        return str(fault["msg"]).removeprefix("Value error, ")
    given = fault["input"]
    if isinstance(given, str) and (union_members(below) or "name" in fields(below)):
        return f"{key}: is a group of settings, got {shown(given)}; did you mean {key}.name={given[:LONGEST]}?"
    return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, got {shown(given)}"


def _listing(help: str | None, path: Sequence[str | int]) -> str | None:
    """Names the command that lists the settings at pydantic's path to a group of them, as text for `nearest`."""
    part = ".".join(part for part in path if isinstance(part, str))
    return f"`{' '.join(filter(None, [help, part]))}`" if help else None


def _walk(schema: Any, path: Sequence[str | int]) -> tuple[list[str], Any, Any]:
    """Returns the keys that a person writes for pydantic's path to a fault, and the types around and at the fault.

    pydantic puts the name that chooses a member of a union into its path: method.moco_v2.dim for method.dim; and
    where none of plain types fits, that of each: frozen.int for frozen. A key that the schema does not have has no
    type: None.
    """
    keys, parent = [], None
    for part in path:
        if part in (members := union_members(schema)):
            schema = members[str(part)]
            continue
        if isinstance(part, str) and get_origin(schema) in (Union, UnionType) and NoneType not in get_args(schema):
            continue
        parent = schema
        if isinstance(part, int):  # the index of an item of a list or tuple
            schema = next(iter(get_args(schema)), None)
        else:
            schema = fields(schema)[part].annotation if part in fields(schema) else None
        keys.append(str(part))
    return keys, parent, schema


def _nearest_key(schema: type, values: Any, keys: Sequence[str], parent: Any, where: str | None) -> str:
    """Suggests "; did you mean 'x'?" for a key that is unknown: one of its name elsewhere, or one like it near it.

    What lists those beside it is `where`.
    """
    name, known = keys[-1], list(fields(parent))
    if elsewhere := keys_named(schema, name, values):
        return f"; did you mean {' or '.join(map(repr, elsewhere))}?"
    if len(keys) == 1 and not closest(name, known):  # a setting without the group that it is in
        last_parts = {key.rpartition(".")[2] for key in setting_keys(schema, values)}
        if close := closest(name, last_parts):
            return f"; did you mean {' or '.join(map(repr, keys_named(schema, close, values)))}?"
    if close := closest(name, known):
        return f"; did you mean {'.'.join([*keys[:-1], close])!r}?"
    return choices(known, where)
