"""Settings given by a person: `key.sub=value` overrides, validation with helpful errors, and a listing.

All of it works on any dataclass of `pydantic.dataclasses`, a recipe's or an evaluation's.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from sslfast.errors import UsageError


def apply_overrides(schema: type, values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`values` with "key.sub=value" overrides set; a list that the values leave out is that of the defaults.

    Raises:
        UsageError: an override without "=", or a value that is not YAML.
    """
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise UsageError(f"{override!r}: expected key.sub=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"{override!r}: the value is not YAML") from error
        values = _set(values, key.split("."), value, key, _default(schema))
    return values


def _default(schema: type) -> Any:
    """The schema's defaults as nested dicts, without fields that have none."""
    result = {}
    for spec in dataclasses.fields(schema):
        if spec.default_factory is not dataclasses.MISSING:
            result[spec.name] = TypeAdapter(Any).dump_python(spec.default_factory())
        elif spec.default is not dataclasses.MISSING:
            result[spec.name] = spec.default
    return result


def _set(node: Any, keys: Sequence[str], value: Any, whole: str, default: Any) -> Any:
    """A copy of `node` with `value` at the path `keys`."""
    if not keys:
        return value
    head, *rest = keys
    if isinstance(node, list):
        if not head.isdecimal() or int(head) >= len(node):
            raise UsageError(f"{whole}: expected an index below {len(node)}, got {head!r}")
        index = int(head)
        return [*node[:index], _set(node[index], rest, value, whole, None), *node[index + 1 :]]
    if not isinstance(node, dict):
        raise UsageError(f"{whole}: {head!r} is inside a setting that holds {node!r}")
    below = default.get(head) if isinstance(default, dict) else None
    child = node.get(head, below if isinstance(below, list) else {})
    return {**node, head: _set(child, rest, value, whole, below)}


def validate(schema: type, values: dict[str, Any], origin: str) -> Any:
    """An instance of a schema dataclass out of plain values; `origin` says in an error where they came from.

    Raises:
        UsageError: names each key at fault, what was expected and what came.
    """
    try:
        return TypeAdapter(schema).validate_python(values)
    except ValidationError as error:
        raise UsageError("; ".join(f"{origin}: {_explain(schema, fault)}" for fault in error.errors())) from None


def _explain(schema: type, fault: Any) -> str:
    *parents, name = fault["loc"] or ("",)
    keys, below = _walk(schema, parents)
    key = ".".join([*keys, str(name)])
    match fault["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"unknown key {key!r}{nearest(str(name), fields(below))}"
        case "union_tag_invalid":
            tag, known = fault["ctx"]["tag"], union_members(fields(below)[name].annotation)
            return f"{key}.name: no {name} {tag!r}{nearest(tag, known)}"
        case "union_tag_not_found":
            return f"{key}.name is missing; choose from {', '.join(union_members(fields(below)[name].annotation))}"
        case "missing":
            return f"{key} is missing"
    return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, got {fault['input']!r}"


def _walk(schema: Any, path: Sequence[str | int]) -> tuple[list[str], Any]:
    """The keys that a person writes for pydantic's path to a fault, and the type that stands there.

    pydantic puts the name that chooses a member of a union into its path: method.moco_v2.dim for method.dim.
    """
    keys = []
    for part in path:
        if part in (members := union_members(schema)):
            schema = members[str(part)]
            continue
        # A number is the index of an item of a list or tuple.
        schema = next(iter(get_args(schema)), None) if isinstance(part, int) else fields(schema)[part].annotation
        keys.append(str(part))
    return keys, schema


def fields(schema: Any) -> dict[str, Any]:
    """The fields of a dataclass, as pydantic describes them, by name; of anything else none."""
    return getattr(schema, "__pydantic_fields__", {})


def union_members(union: Any) -> dict[str, Any]:
    """The dataclasses of a union by the one word that their field `name` may hold; of anything else none."""
    members = [fields(member).get("name") for member in get_args(union)]
    return {
        get_args(name.annotation)[0]: member
        for name, member in zip(members, get_args(union), strict=True)
        if name is not None and get_args(name.annotation)
    }


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" with the known name most like `name`, or the list of all if none is alike."""
    names = list(known)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; choose from {', '.join(names)}"


def listed(schema: Any, prefix: str = "") -> Iterator[str]:
    """The settings of one dataclass, a line each: their names after `prefix`, defaults and meanings."""
    for name, info in fields(schema).items():
        # pydantic reads the docstrings of a class's own fields only, not of those it inherits.
        bases = (fields(base).get(name) for base in schema.__mro__)
        meaning = next((base.description for base in bases if base and base.description), None)
        if meaning:
            default = info.get_default(call_default_factory=True)
            # A tuple is a list to YAML; flow style keeps it in a line.
            plain = list(default) if isinstance(default, tuple) else default
            views = isinstance(default, list) and any(map(dataclasses.is_dataclass, default))
            shown = "[...]" if views else yaml.safe_dump(plain, default_flow_style=True)
            yield f"  {f'{prefix}{name}={shown.splitlines()[0]}':<36}  {' '.join(meaning.split())}"
        for item in get_args(info.annotation):
            if dataclasses.is_dataclass(item):
                yield from listed(item, f"{prefix}{name}.0.")
