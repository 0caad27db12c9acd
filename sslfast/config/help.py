"""The settings of a dataclass as help text: a line each, with the default and the meaning."""

from __future__ import annotations

import dataclasses
import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import yaml

from sslfast.config.settings import fields

COLUMN = 36  # where meanings begin
WIDEST = 100  # characters of a line that are still read with ease


def help_width() -> int:
    """Counts the characters in a line of help: the terminal's, less argparse's margin of 2, at most 98."""
    return min(shutil.get_terminal_size().columns, WIDEST) - 2


def help_entries(schema: Any, prefix: str = "", *, base: Any = None) -> Iterator[tuple[str, list[str]]]:
    """Yields the settings of a dataclass: the whole key of each, and its lines: key, default and meaning, wrapped.

    Args:
        schema: the dataclass; of a list of dataclasses among its fields, the first item's settings follow.
        prefix: the key of the dataclass, with a full stop: "data.".
        base: a base class whose settings are left out; None: none are.
    """
    for name, info in fields(schema).items():
        if name in fields(base):
            continue
        if meaning := _meaning(schema, name):
            yield f"{prefix}{name}", entry_lines(f"  {prefix}{name}={_default(info)}", meaning)
        for item in get_args(info.annotation):
            if dataclasses.is_dataclass(item):
                yield from help_entries(item, f"{prefix}{name}.0.")


def _meaning(schema: Any, name: str) -> str | None:
    """Finds the docstring of a field, or of the nearest base's: pydantic reads only those of a class's own."""
    described = (fields(cls).get(name) for cls in schema.__mro__)
    return next((info.description for info in described if info and info.description), None)


def _default(info: Any) -> str:
    """Shows the default of a field as a person would write it."""
    default = info.get_default(call_default_factory=True)
    if isinstance(default, list) and any(map(dataclasses.is_dataclass, default)):
        return "[...]"
    # A tuple is a list to YAML; flow style keeps it in a line.
    plain = list(default) if isinstance(default, tuple) else default
    return yaml.safe_dump(plain, default_flow_style=True).splitlines()[0]


def entry_lines(name: str, text: str, column: int = COLUMN) -> list[str]:
    """Lays out a name and, from a column on, its text; on the next line where the name reaches beyond it."""
    beside = f"{name:<{column - 2}}  "
    fits = len(beside) == column
    lines = textwrap.wrap(
        text,
        help_width(),
        initial_indent=beside if fits else " " * column,
        subsequent_indent=" " * column,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines if fits else [name, *lines]


def name_lines(names: Iterable[str]) -> list[str]:
    """Lays out names in lines of `help_width`, with commas between them."""
    return textwrap.wrap(
        ", ".join(names), help_width(), initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def first_sentence(text: str) -> str:
    """Cuts a text at a full stop before a capital, to one line: those of "et al. 2020" and "v1.5" end nothing."""
    return re.split(r"(?<=\.)\s+(?=[A-Z])", " ".join(text.split()), maxsplit=1)[0]
