"""The results of `sslfast evaluate` of several runs, side by side where they are of the same images."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslfast.data.sources.names import joined
from sslfast.errors import UsageError, printable
from sslfast.evaluation.interval import wilson_interval
from sslfast.evaluation.result import HEADINGS, Evaluation, shown
from sslfast.evaluation.seeds import Spread, over_seeds
from sslfast.report.comparison.grid import NOTHING, Grid
from sslfast.report.comparison.run import ComparedRun
from sslfast.report.evaluations import ACCURACIES
from sslfast.report.numbers import accuracy
from sslfast.report.page import Cell
from sslfast.weights.named import MOMENTUM

TRAINED = "pre-trained"  # the encoder of a row that the run itself has trained
IDENTIFIERS = ("encoder", "labels", "k", "temperature")  # the parts of a row that say what its figures are of
# Options on which no figure depends.
FREE = ("on_error", "max_bad", "max_unpacked", "chunk", "device")


@dataclass(frozen=True)
class Figure:
    """A figure of an evaluation of a run.

    Attributes:
        run: the run's number.
        weights: which of the run's weights were judged, a digest or a path.
        encoder: what was judged: the pre-trained encoder, or what stands beside it.
        options: the settings of the evaluation and of its row, as text by their names.
        name: the key of the figure in HEADINGS.
        value: the figure; a `Spread` where it is of several seeds.
        num_images: the number of images that it is a share of; None: it is no such share.
    """

    run: int
    weights: str
    encoder: str
    options: dict[str, str]
    name: str
    value: Any
    num_images: int | None

    def number(self) -> Any:
        """Returns the figure without its spread over the seeds."""
        return self.value.mean if isinstance(self.value, Spread) else self.value

    def interval(self) -> tuple[float, float] | None:
        """Computes the figure's 95% interval, where it has one."""
        return None if self.num_images is None else wilson_interval(self.number(), self.num_images)

    def cell(self) -> Cell:
        """Shows the figure as a cell, with its interval."""
        below = "" if self.num_images is None else accuracy(self.number(), self.num_images)[1]
        return shown(self.value), below


@dataclass(frozen=True)
class Group:
    """The figures that the same protocol gave on the same images.

    Attributes:
        title: the protocol and the images; no other group has the same.
        caption: the number of classes, and chance.
        figures: those of all runs.
        differing: the options in which they differ.
        weights: the names of the weights of runs of which several were judged, by (run's number, weights).
    """

    title: str
    caption: str
    figures: Sequence[Figure]
    differing: set[str]
    weights: dict[tuple[int, str], str]

    def column(self, figure: Figure) -> str:
        """Says what a figure is, by its name and the options in which the group's figures differ."""
        options = " ".join(f"{key}={value}" for key, value in figure.options.items() if key in self.differing)
        return HEADINGS[figure.name] + (f", {options}" if options else "")

    def row(self, figure: Figure) -> str:
        """Says what a figure is of beside its run: nothing for the encoder of its only weights."""
        if figure.encoder != TRAINED:
            return figure.encoder  # the same for all of a run's weights
        return self.weights.get((figure.run, figure.weights), "")


def groups(runs: Sequence[ComparedRun]) -> list[Group]:
    """Sorts the figures of the runs' evaluations into groups that can be compared.

    Raises:
        UsageError: a file is no evaluation.
    """
    found: defaultdict[tuple[Any, ...], list[tuple[int, Path, Evaluation]]] = defaultdict(list)
    for number, run in enumerate(runs):
        for path, e in run.evaluations.items():
            val = joined(e.val) if e.val else ""
            images = (e.kind, joined(e.data), _classes(e), val, e.train_images, e.val_images, e.own_split)
            found[images].append((number, path, e))
    weights = dict(_weights(runs))
    return [_group(members, weights) for _, members in sorted(found.items())]


def grid(group: Group, runs: Sequence[ComparedRun]) -> Grid:
    """Makes a row for each run, and for what else was judged of it, a column for each figure."""
    columns = list(dict.fromkeys(map(group.column, group.figures)))
    rows = []
    for number, run in enumerate(runs):
        mine = [figure for figure in group.figures if figure.run == number]
        trained_first = sorted(mine, key=lambda figure: figure.encoder != TRAINED)
        for part in dict.fromkeys(map(group.row, trained_first)) or [""]:
            cells = {group.column(figure): figure.cell() for figure in mine if group.row(figure) == part}
            rows.append([(run.name, part), *(cells.get(column, NOTHING) for column in columns)])
    return Grid(["run", *columns], rows)


def _group(members: Sequence[tuple[int, Path, Evaluation]], weights: dict[tuple[int, str], str]) -> Group:
    _, _, first = members[0]
    held_out = " as in pre-training" if first.own_split else f" of {joined(first.val)}" if first.val else ""
    chance = "" if first.chance is None else f"; a constant guess reaches {first.chance:.1%}"
    figures = [figure for member in members for figure in _figures(*member)]
    return Group(
        title=printable(
            f"{first.kind} on {joined(first.data)}{_classes(first)}: {first.train_images:,} training images, "
            f"{first.val_images:,} held out{held_out}"
        ),
        caption=f"{first.classes} classes{chance}.",
        figures=figures,
        differing=_differing([figure.options for figure in figures]),
        weights=weights,
    )


def _classes(evaluation: Evaluation) -> str:
    """Names the choice of classes, where there is one, as part of a title."""
    chosen = evaluation.options.get("classes")
    return "" if chosen is None else f", classes={chosen}"


def _differing(options: Sequence[dict[str, str]]) -> set[str]:
    """Finds the keys of which not all have the same value."""
    return {key for each in options for key in each if len({other.get(key) for other in options}) > 1}


def _figures(number: int, path: Path, evaluation: Evaluation) -> Iterator[Figure]:
    for row in over_seeds(evaluation.rows):
        identity = {key: row[key] for key in IDENTIFIERS if key in row}
        encoder = str(identity.pop("encoder", TRAINED))
        if encoder == "supervised" and evaluation.supervised:
            encoder = f"supervised: {evaluation.supervised}"
        options = {key: value for key, value in evaluation.options.items() if key not in FREE} | identity
        options |= {f"{key} list": digest for key, digest in evaluation.lists.items()}
        for name in (key for key in HEADINGS if key in row and key not in IDENTIFIERS):
            is_share = name in ACCURACIES and row[name] is not None
            figure = Figure(
                run=number,
                weights=evaluation.checkpoint_id(),
                encoder=encoder,
                options={key: json.dumps(value).strip('"') for key, value in options.items()},
                name=name,
                value=row[name],
                num_images=getattr(evaluation, ACCURACIES[name]) if is_share else None,
            )
            try:
                figure.interval()
            except (TypeError, ValueError, ZeroDivisionError) as error:  # numbers that are none
                raise UsageError(f"{path}: not an evaluation of sslfast; evaluate again, or remove it") from error
            yield figure


def _weights(runs: Sequence[ComparedRun]) -> Iterator[tuple[tuple[int, str], str]]:
    """Yields what weights are called in the runs of which several were judged."""
    for number, run in enumerate(runs):
        judged = {e.checkpoint_id(): e for e in run.evaluations.values()}
        if len(judged) > 1:
            for weights, e in judged.items():
                called = Path(e.checkpoint).name
                if e.step is not None:
                    average = ", moving average" if e.checkpoint.endswith(MOMENTUM) else ""
                    called = f"at step {e.step}{average}"
                yield (number, weights), printable(called)
