"""What the command line knows of each command."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sslfast.cli.parser import Parser, SettingsHelp


@dataclass(frozen=True)
class Command:
    """A command: its arguments, and what they run.

    Attributes:
        name: the word that calls it.
        summary: its line in `sslfast --help`.
        run: does what the arguments ask for: those of `add_arguments`, `overrides`, the settings among them, and
            `command`, the command line.
        add_arguments: gives the command's parser its arguments.
        usage: its forms, where those that argparse writes would not say it.
        schema: returns the type that its `key.sub=value` settings are of, or None where its arguments name none.
            None in place of the function: it takes no settings.
        describe: returns the settings of a part by its name as text, for `--help PART`; of "" what `--help` prints
            below the arguments. None: it takes no settings.
        settle: checks the arguments together. It is given the words that were none of them, which have to be
            settings, and returns these.
        short_of_memory: what helps where memory does not suffice.
        interrupted: what a person who has interrupted it is told.
    """

    name: str
    summary: str
    run: Callable[[Namespace], None]
    add_arguments: Callable[[Parser], None] | None = None
    usage: str | None = None
    schema: Callable[[Namespace], Any] | None = None
    describe: Callable[[str], str] | None = None
    settle: Callable[[Parser, Namespace, list[str]], list[str]] | None = None
    short_of_memory: str = "close other programs"
    interrupted: str = "interrupted"

    def add_to(self, commands: Any) -> None:
        """Adds its parser to the program's, `commands` as `ArgumentParser.add_subparsers` returns them."""
        parser = commands.add_parser(
            self.name, help=self.summary, usage=self.usage, add_help=self.describe is None
        )
        if self.add_arguments is not None:
            self.add_arguments(parser)
        if self.describe is not None:
            meaning = "show this, or the settings of a part"
            parser.add_argument("-h", "--help", action=SettingsHelp, describe=self.describe, help=meaning)
        parser.set_defaults(chosen=self)
