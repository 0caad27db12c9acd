"""The command lines that make a cell of a sweep, and what they leave."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sslfast.config.settings import apply_overrides
from sslfast.config.validation import validate
from sslfast.data.sources.names import listed
from sslfast.errors import UsageError
from sslfast.evaluation.help import HELP
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.evaluation.result import Evaluation
from sslfast.hints import nearest
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe, with_precision
from sslfast.run.directory import RunDirectory, check_same, read_recipe
from sslfast.run.summary import RunSummary
from sslfast.sweep.grid import Cell


@dataclass(frozen=True)
class Commands:
    """The arguments of `sslfast` that make a cell.

    Attributes:
        pretrain, evaluate: those of either command, the command's name first.
        run: the run's directory.
    """

    pretrain: list[str]
    evaluate: list[str]
    run: Path

    def lines(self) -> list[str]:
        """Returns the two commands as a person types them."""
        return [shlex.join(["sslfast", *arguments]) for arguments in (self.pretrain, self.evaluate)]

    def result(self) -> Evaluation | None:
        """Loads what the second command has left; None where the cell is not finished."""
        run = RunDirectory(self.run)
        if not run.summary.exists():
            return None
        found = (Evaluation.load(path) for path in sorted(run.evaluation.glob("*.json")))
        return next((evaluation for evaluation in found if evaluation.command == self.lines()[1]), None)

    def summary(self) -> RunSummary:
        """Loads the last figures of a finished run."""
        return RunSummary.load(RunDirectory(self.run).summary)


def commands(cell: Cell, out: Path, data: Sequence[str], val: Sequence[str], evaluate: str) -> Commands:
    """Makes the commands of a cell, which are checked as far as that needs no images.

    Args:
        cell: the run.
        out: the folder of the sweep's runs.
        data: the images to train on; none: those of the recipe.
        val: the images to test on; none: those that `sslfast evaluate` takes by itself.
        evaluate: the protocol and its settings, see `Sweep`.

    Raises:
        UsageError: settings that cannot work, or a run in the cell's directory that has others.
    """
    recipe = load_recipe(cell.recipe, cell.overrides, data=list(data) or None)
    check_recipe(recipe)
    kind, options = _protocol(evaluate)
    run = out / cell.name
    config = RunDirectory(run).config
    if config.exists():
        before = read_recipe(config)
        try:
            check_same(with_precision(recipe, before.train.precision), before)
        except UsageError as error:
            raise UsageError(f"sweep: {run}: {error}") from error
    sources = [f"--data={name}" for name in data]
    judged = [f"--data={name}" for name in data or listed(recipe.data.source)]
    held_out = [f"--val={name}" for name in val]
    return Commands(
        pretrain=["pretrain", cell.recipe, "--resume", "--out", str(run), *sources, *cell.overrides],
        evaluate=["evaluate", kind, str(run), *judged, *held_out, *options],
        run=run,
    )


def _protocol(evaluate: str) -> tuple[str, list[str]]:
    """Reads the protocol of a sweep, and its settings, checked."""
    kind, *options = shlex.split(evaluate) or [""]
    if kind not in PROTOCOLS:
        raise UsageError(f"--evaluate {evaluate!r}: no such evaluation{nearest(kind, PROTOCOLS)}")
    config = PROTOCOLS[kind].config
    validate(config, apply_overrides(config, {}, options), f"--evaluate {kind}", f"{HELP} {kind}")
    return kind, options
