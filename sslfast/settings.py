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
from sslfast.methods import METHODS


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
    siblings = _keys_at(schema, parents)
    # pydantic puts the method's name, which chooses the dataclass, into the path: method.moco_v2.dim.
    if parents[:1] == ["method"]:
        parents = parents[:1] + parents[2:]
    key = ".".join(str(part) for part in [*parents, name])
    match fault["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"unknown key {key!r}{nearest(str(name), siblings)}"
        case "union_tag_invalid":
            return f"method.name: no method {fault['ctx']['tag']!r}{nearest(fault['ctx']['tag'], METHODS)}"
        case "union_tag_not_found":
            return f"method.name is missing; choose from {', '.join(METHODS)}"
        case "missing":
            return f"{key} is missing"
    return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, got {fault['input']!r}"


def _keys_at(schema: Any, path: Sequence[str | int]) -> list[str]:
    """The names of the fields of the dataclass at a path inside the schema."""
    for part in path:
        if part in METHODS:
            schema = METHODS[str(part)].Config
        elif isinstance(part, int):  # an item of a list or tuple
            schema = next(iter(get_args(schema)), None)
        else:
            schema = getattr(schema, "__pydantic_fields__", {})[part].annotation
    return list(getattr(schema, "__pydantic_fields__", {}))


def nearest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" with the known name most like `name`, or the list of all if none is alike."""
    names = list(known)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; choose from {', '.join(names)}"


def describe(schema: Any) -> str:
    """One line a setting of a recipe: key=default, and what it means; the settings of each method apart."""
    lines = []
    for method in METHODS:
        lines += [f"method.name={method}", *listed(METHODS[method].Config, "method.")]
    for name, section in schema.__pydantic_fields__.items():
        if name != "method":
            lines += [name, *listed(section.annotation, f"{name}.")]
    return "\n".join(lines)


def listed(schema: Any, prefix: str = "") -> Iterator[str]:
    """The settings of one dataclass, a line each: their names after `prefix`, defaults and meanings."""
    for name, info in schema.__pydantic_fields__.items():
        # pydantic reads the docstrings of a class's own fields only, not of those it inherits.
        bases = (getattr(base, "__pydantic_fields__", {}).get(name) for base in schema.__mro__)
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
