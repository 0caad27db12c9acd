"""The settings among the arguments, `key.sub=value`: what is none of them, and two values of one key."""

from __future__ import annotations

import itertools
import logging
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from sslfast.cli.parser import Parser

log = logging.getLogger(__name__)


def recipe_schema(_: Namespace) -> Any:
    """Returns the settings of a command that takes a recipe."""
    from sslfast.recipes.load import recipe_schema

    return recipe_schema()


def recipe_help(part: str) -> str:
    """Describes the settings of a command that takes a recipe, as `Command.describe` does."""
    if not part:
        from sslfast.recipes.overview import recipe_overview

        return recipe_overview()
    from sslfast.recipes.help import describe

    return describe(part)


def check_words(parser: Parser, args: Namespace, words: Sequence[str], takers: Sequence[str]) -> None:
    """Ends the program at a word that is no setting of the command; `takers` are the commands that have some."""
    for word, after in itertools.zip_longest(words, words[1:], fillvalue=""):
        if word.startswith("-") or "=" not in word or args.chosen.schema is None:
            hint = setting_hint(args, word, after)
            hint = hint or f"{', '.join(takers[:-1])} and {takers[-1]} take key.sub=value"
            parser.error(f"unexpected argument {word!r}; {hint}")


def setting_hint(args: Namespace, word: str, after: str) -> str:
    """Returns "did you mean train.epochs=5?" for `--epochs 5`; "" where there is no setting of this name."""
    if not word.startswith("--") or args.chosen.schema is None:
        return ""
    from sslfast.config.settings import keys_named

    name, _, value = word.removeprefix("--").partition("=")
    value = value or after or "VALUE"
    keys = keys_named(args.chosen.schema(args), name.rpartition(".")[2].replace("-", "_"))
    return f"did you mean {' or '.join(f'{key}={value}' for key in keys)}?" if keys else ""


def check_once(parser: Parser, args: Namespace, overrides: Sequence[str]) -> None:
    """Ends the program where `data.source` is given beside --data; says which of two values a setting gets."""
    values: dict[str, str] = {}
    for override in overrides:
        key = override.partition("=")[0]
        if key == "data.source" and args.chosen.schema is recipe_schema and args.data is not None:
            parser.error(f"--data {args.data[0]} and {override} both name the images; give one")
        if key in values:
            log.warning("%s takes the place of %s", override, values[key])
        values[key] = override
