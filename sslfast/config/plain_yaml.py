"""YAML as settings have it: text, numbers, lists and mappings, of a bounded size."""

from __future__ import annotations

from typing import Any

import yaml

LARGEST = 10_000  # values in a text; a recipe has a few hundred


class _Loader(yaml.SafeLoader):
    """The safe loader, to which a date is text: no setting is one, and a folder may be named for one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str) -> Any:
    """Reads the value of a YAML text.

    Raises:
        ValueError: it is not YAML, has a tag that does not fit its value, or holds more than 10,000 values once
            its aliases are resolved, which a few lines of aliases of aliases can.
    """
    try:
        value = yaml.load(text, _Loader)  # a SafeLoader
    except Exception as error:  # a wrong tag makes the constructors raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(reason) from error
    _check_size(value)
    return value


def _check_size(value: Any) -> None:
    """Raises ValueError if a value holds too many others, each counted as often as it is reached."""
    left, waiting = LARGEST, [value]
    while waiting:
        item = waiting.pop()
        left -= 1
        if left < 0 or len(waiting) > LARGEST:
            raise ValueError(f"it holds more than {LARGEST} values, aliases resolved")
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple, set)):
            waiting += item
