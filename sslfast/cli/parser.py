"""The parser of arguments, which is argparse's with errors of one line and options that are given once."""

from __future__ import annotations

import argparse
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
    """--help of a command with settings: its arguments, then the text that `const` returns."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(parser.format_help())
        print(self.const())
        parser.exit()


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with exit code 2, and whose options are given once but for "append"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("action", None, StoreOnce)

    def error(self, message: str) -> NoReturn:
        self.exit(2, printable(f"{self.prog}: {message}") + "\n")
