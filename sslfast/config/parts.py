"""The parts of a command's settings, as `--help PART` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from sslfast.config.help import entry_lines, help_entries
from sslfast.config.settings import shown
from sslfast.errors import UsageError
from sslfast.hints import nearest

ALL = "all"  # the name that stands for every part
COLUMN = 24  # where the meanings of parts begin: argparse's of options


@dataclass(frozen=True)
class Part:
    """Settings that belong together.

    Attributes:
        title: the lines that say what they are.
        settings: the lines of each setting, by its whole key.
    """

    title: list[str]
    settings: dict[str, list[str]]

    def text(self) -> str:
        return "\n".join([*self.title, *chain.from_iterable(self.settings.values())])

    def without(self, other: Part) -> Part:
        """Returns the part without the settings that another one has."""
        return replace(
            self, settings={key: self.settings[key] for key in self.settings if key not in other.settings}
        )

    def only(self, name: str) -> Part:
        """Returns the part with those settings alone whose key is a name, or ends in it."""
        return replace(self, settings={key: lines for key, lines in self.settings.items() if _ends(key, name)})


def part(name: str, meaning: str, schema: type, prefix: str = "", *, base: type | None = None) -> Part:
    """Makes the part that a dataclass is; `prefix` and `base` are as for `help_entries`."""
    return Part(entry_lines(name, meaning), dict(help_entries(schema, prefix, base=base)))


def overview(meanings: Mapping[str, str]) -> str:
    """Lists the names of parts with a meaning each, and how to see their settings."""
    rows = {**meanings, ALL: "All of them."}
    lines = chain.from_iterable(entry_lines(f"  {name}", meaning, COLUMN) for name, meaning in rows.items())
    return "\n".join(["settings; --help PART shows those of a part, --help KEY shows one:", *lines])


def part_text(parts: Mapping[str, Part], name: str) -> str:
    """Returns the text of what a person has asked help about.

    Args:
        parts: all parts by name.
        name: a part's name or the end of it, "swav" for "method.swav"; "all"; or a setting, "train.epochs" or
            "epochs", which is shown below the titles of the parts that have it.

    Raises:
        UsageError: it is the name of nothing.
    """
    chosen = list(parts.values()) if name == ALL else [parts[key] for key in parts if _ends(key, name)]
    chosen = chosen or [found for each in parts.values() if (found := each.only(name)).settings]
    if not chosen:
        keys = [*parts, *chain.from_iterable(each.settings for each in parts.values())]
        hint = nearest(name, _with_ends(keys), f"`--help {ALL}`")
        raise UsageError(f"--help {shown(name)}: no part or setting has this name{hint}")
    return "\n\n".join(each.text() for each in chosen)


def _ends(key: str, name: str) -> bool:
    """Tells whether a key is a name, or ends in it, as data.views.0.blur in blur."""
    return f".{key}".endswith(f".{name}")


def _with_ends(keys: Iterable[str]) -> list[str]:
    """Returns the last parts of keys, which are typed most, and the keys."""
    keys = list(keys)
    return [*dict.fromkeys([*(key.rpartition(".")[2] for key in keys), *keys])]
