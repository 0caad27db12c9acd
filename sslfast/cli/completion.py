"""The completion of the command line in a shell, by argcomplete."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable


def complete(parser: argparse.ArgumentParser) -> None:
    """Answers the shell, and ends the program, where that asks for the words that may follow."""
    if "_ARGCOMPLETE" in os.environ:  # of `register-python-argcomplete sslfast`
        import argcomplete

        argcomplete.autocomplete(parser)


def completed(argument: argparse.Action, names: Callable[[], Iterable[str]]) -> None:
    """Says which names an argument may be, beside the files of the present folder."""

    def completer(prefix: str, **_: object) -> list[str]:
        from argcomplete.completers import FilesCompleter

        return [*names(), *FilesCompleter()(prefix)]

    argument.completer = completer  # type: ignore[attr-defined]  # argcomplete looks for it


def recipe_names() -> list[str]:
    from sslfast.recipes.files import FOLDER, PHOTOGRAPHS, recipes

    return [*recipes(), *(path.stem for path in (FOLDER / PHOTOGRAPHS).glob("*.yaml"))]


def protocol_names() -> list[str]:
    from sslfast.evaluation.configs import CONFIGS

    return list(CONFIGS)
