"""The parser of arguments, which is argparse's with errors of one line and options that are given once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from sslfast.errors import printable


class StoreOnce(argparse.Action):
    """The action of an option with a value: a second one is an error, where argparse would take the last."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        if option is not None and before is not self.default:
            raise argparse.ArgumentError(self, f"given twice, {before} and {values}; give it once")
        setattr(namespace, self.dest, values)


class SettingsHelp(argparse.Action):
    """The action of --help [PART] of a command with settings.

    Args:
        describe: returns the settings of a part as text; of "" what is shown below the arguments where no part is
            named.
    """

    def __init__(self, *, describe: Callable[[str], str], **kwargs: Any) -> None:
        super().__init__(nargs="?", metavar="PART", **kwargs)
        self.describe = describe

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, part: Any, option: str | None = None
    ) -> NoReturn:
        if not part:
            print(parser.format_help())
        print(self.describe(part or ""))
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with exit code 2, and whose options are given once but for "append"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("action", None, StoreOnce)

    def error(self, message: str) -> NoReturn:
        if "arguments are required" in message:  # argparse's own words, which name them and no more
            message += f"; `{self.prog} --help` says what they are"
        self.exit(2, printable(f"{self.prog}: {message}") + "\n")
