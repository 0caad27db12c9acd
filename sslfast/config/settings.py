"""Settings given by a person: overrides as text or from Python, the keys that a schema has.

A schema is any dataclass of `pydantic.dataclasses`, a recipe's or an evaluation's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter

from sslfast.config.plain_yaml import read_yaml
from sslfast.errors import UsageError

LONGEST = 100  # characters of a value in a message

Setting = tuple[str, Any]  # a whole key, and its value
# "train.epochs=5" as text, {"train.epochs": 5} or {"train": {"epochs": 5}} in Python.
Overrides = Sequence[str | Setting] | Mapping[str, Any]


def apply_overrides(schema: type, values: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Returns `values` with overrides set in order; a list that the values leave out is that of the defaults.

    Raises:
        UsageError: as `settings_of`.
    """
    for key, value in settings_of(overrides):
        values = set_at(values, key.split("."), value, key, _default(schema))
    return values


def settings_of(overrides: Overrides) -> list[Setting]:
    """Overrides as whole keys and their values, in order.

    Raises:
        UsageError: a text without "=", or a value that is not YAML.
    """
    if isinstance(overrides, Mapping):
        return list(_settings_in(overrides, ""))
    return [_setting(item) if isinstance(item, str) else item for item in overrides]


def _setting(override: str) -> Setting:
    """Reads the setting in "key.sub=value", whose value is YAML."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UsageError(f"{shown(override)}: expected key.sub=value")
    try:
        return key, read_yaml(text)
    except ValueError as error:
        raise UsageError(f"{shown(override)}: the value is not YAML: {error}") from error


def _settings_in(values: Mapping[str, Any], prefix: str) -> Iterator[Setting]:
    """Yields the settings in a mapping and in those within it, a path as its text."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _settings_in(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value) if isinstance(value, Path) else value


def _default(schema: type) -> Any:
    """Returns the schema's defaults as nested dicts, without fields that have none."""
    result = {}
    for spec in dataclasses.fields(schema):
        if spec.default_factory is not dataclasses.MISSING:
            result[spec.name] = TypeAdapter(Any).dump_python(spec.default_factory())
        elif spec.default is not dataclasses.MISSING:
            result[spec.name] = spec.default
    return result


def set_at(node: Any, keys: Sequence[str], value: Any, whole: str, default: Any) -> Any:
    """Copies `node` with `value` at the path `keys`."""
    if not keys:
        return value
    head, *rest = keys
    if isinstance(node, list):
        if not head.isdecimal() or int(head) >= len(node):
            raise UsageError(f"{whole}: expected an index below {len(node)}, got {head!r}")
        index = int(head)
        return [*node[:index], set_at(node[index], rest, value, whole, None), *node[index + 1 :]]
    if not isinstance(node, dict):
        raise UsageError(f"{whole}: {head!r} is inside a setting that holds {shown(node)}")
    below = default.get(head) if isinstance(default, dict) else None
    child = node.get(head, below if isinstance(below, list) else {})
    return {**node, head: set_at(child, rest, value, whole, below)}


def shown(value: Any) -> str:
    """Shows a value as Python writes it, cut to a length that fits into a sentence."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def fields(schema: Any) -> dict[str, Any]:
    """Returns pydantic's descriptions of a dataclass's fields, by their names; empty for anything else."""
    return getattr(schema, "__pydantic_fields__", {})


def union_members(union: Any) -> dict[str, Any]:
    """Maps the one word that each dataclass of a union allows as its `name` to it; empty for anything else."""
    return {
        get_args(info.annotation)[0]: member
        for member in get_args(union)
        if (info := fields(member).get("name")) and get_args(info.annotation)
    }


def setting_keys(schema: Any, values: Any = None, prefix: str = "") -> Iterator[str]:
    """Yields the keys of all settings of a schema: "train.epochs", and of a list's first item "data.views.0.blur".

    Args:
        schema: a dataclass, or a type that is none, which has no keys.
        values: the settings that are given, whose names choose the members of unions; without one, all are taken.
        prefix: the key of the schema, with a full stop.
    """
    for name, info in fields(schema).items():
        given = values.get(name) if isinstance(values, dict) else None
        groups = [info.annotation, *get_args(info.annotation)]
        if members := union_members(info.annotation):
            tag = given.get("name") if isinstance(given, dict) else None
            groups = [members[tag]] if isinstance(tag, str) and tag in members else list(members.values())
        keys = [
            key
            for group in groups
            for key in setting_keys(
                group, given, f"{prefix}{name}.{'0.' if get_origin(info.annotation) is list else ''}"
            )
        ]
        yield from dict.fromkeys(keys or [f"{prefix}{name}"])


def flat(values: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yields nested settings by their whole keys, a list's items by their places: ("data.views.1.blur", 0.1).

    Args:
        values: plain values in dicts and lists; one that is empty is a value.
        key: the key of all of them.
    """
    if not isinstance(values, (dict, list)) or not values:
        yield key, values
        return
    for name, value in values.items() if isinstance(values, dict) else enumerate(values):
        yield from flat(value, f"{key}.{name}" if key else str(name))


def keys_named(schema: Any, name: str, values: Any = None) -> list[str]:
    """Returns the keys of a schema's settings, those of the fewest parts, whose last part is `name`."""
    keys = [key for key in setting_keys(schema, values) if key.rpartition(".")[2] == name]
    depth = min((key.count(".") for key in keys), default=0)
    return [key for key in keys if key.count(".") == depth]
