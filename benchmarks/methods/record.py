"""The record of `make methods-check`, which grows run by run, and its summary, table and verdict."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

from sslfast.benchmarks.methods.short import longer
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.run.atomic import atomic_write

RANDOM, SUPERVISED = "random initialization", "supervised"  # what the other methods stand between
SCORES = ("knn", "linear")


@dataclass(frozen=True)
class Run:
    """A method trained with a seed, and its encoder's held-out top-1 accuracies, by SCORES, shares in [0, 1]."""

    method: str
    seed: int
    settings: list[str]  # its changes of the method's recipe
    epochs: int
    seconds: float  # of training, evaluation apart; of a run that was killed, what its last parts took
    scores: dict[str, float]
    random: dict[str, float]  # before training: some methods' encoders normalize, or see colors, in another way
    commit: str


class MethodRecord:
    """The runs in a JSON file: what they depend on, what they share, and one entry each.

    Args:
        path: the file, read if it exists.
        header: what the results depend on, see `machine.describe`.
        shared: the settings of all its runs.

    Raises:
        UsageError: the file holds runs of other settings.
    """

    def __init__(self, path: Path, header: dict[str, str], shared: dict[str, Any]) -> None:
        self.path, self.header, self.shared, self._now = path, header, shared, header
        self.continued: dict[str, str] | None = None  # what the runs that were added last to a record depend on
        self.runs: list[Run] = []
        if path.exists():
            content = json.loads(path.read_text())
            if content["shared"] != shared:
                raise UsageError(
                    f"{path}: holds runs with {content['shared']}, and now asked for is {shared}; "
                    "choose another --out, or remove it"
                )
            self.header, self.continued = content["header"], content.get("continued")
            self.runs = [Run(**run) for run in content["runs"]]

    def find(self, method: str, settings: Sequence[str]) -> dict[int, Run]:
        """Finds the runs of a method with these settings, by seed."""
        return {run.seed: run for run in self.runs if (run.method, run.settings) == (method, list(settings))}

    def add(self, run: Run) -> None:
        """Adds a run, and drops the method's runs with other settings. The file is replaced as a whole."""
        same = {old.seed: old for old in self.runs if (old.method, old.settings) == (run.method, run.settings)}
        others = [old for old in self.runs if old.method != run.method]
        self.runs = [*others, *{**same, run.seed: run}.values()]
        if self._now is not self.header:
            self.continued = self._now
        runs = [asdict(run) for run in self.runs]
        content = {"header": self.header, "continued": self.continued, "shared": self.shared, "runs": runs}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self.path) as file:
            file.write((json.dumps(content, indent=1) + "\n").encode())


class Score(NamedTuple):
    """An accuracy over the seeds."""

    mean: float
    spread: float | None  # standard deviation over the seeds; None: of one
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.mean:.1%}" + (f" ± {100 * self.spread:.1f}" if self.spread is not None else "")


@dataclass(frozen=True)
class Summary:
    """A method's runs in numbers."""

    method: str
    seeds: int
    epochs: int
    seconds: float  # of a run, the mean
    scores: dict[str, Score]  # by SCORES
    random: dict[str, float]  # the means before training


def summarize(runs: Sequence[Run]) -> list[Summary]:
    """Makes the summaries: random initialization, the methods by their linear probes, the supervised run."""
    place = {RANDOM: -1, SUPERVISED: 1}
    methods = dict.fromkeys(run.method for run in runs)
    summaries = [_summary([run for run in runs if run.method == method]) for method in methods]
    return sorted(summaries, key=lambda s: (place.get(s.method, 0), s.scores["linear"].mean))


def _summary(runs: Sequence[Run]) -> Summary:
    scores = {}
    for name in SCORES:
        values = [run.scores[name] for run in runs]
        spread = statistics.stdev(values) if len(values) > 1 else None
        scores[name] = Score(statistics.mean(values), spread, min(values), max(values))
    seconds = statistics.mean(run.seconds for run in runs)
    random = {name: statistics.mean(run.random[name] for run in runs) for name in SCORES}
    return Summary(runs[0].method, len(runs), runs[0].epochs, seconds, scores, random)


def not_learned(summaries: Sequence[Summary], num_images: int) -> dict[str, list[str]]:
    """Finds the methods, and their scores, that do not beat their own random initialization by a clear margin.

    The margin is two standard errors of the difference of two accuracies p on n images, 2 sqrt(2 p (1 - p) / n), a
    cautious one, as all are tested on the same images.

    Args:
        num_images: the number of images held out.
    """

    def least(p: float) -> float:
        return p + 2 * sqrt(2 * p * (1 - p) / num_images)

    failed = {
        s.method: [name for name in SCORES if s.scores[name].mean <= least(s.random[name])]
        for s in summaries
        if s.method not in (RANDOM, SUPERVISED)
    }
    return {method: names for method, names in failed.items() if names}


def held_equal(summaries: Sequence[Summary], shared: Mapping[str, Any]) -> str:
    """Writes the sentences that say what the runs have in common, and how far apart their times are.

    Args:
        shared: the settings of all runs, see `MethodRecord`.
    """
    minutes = [s.seconds / 60 for s in summaries if s.epochs]
    took = f"the runs took {min(minutes):.1f} to {max(minutes):.1f} minutes" if minutes else "none has trained"
    vits = [s.method for s in summaries if s.method in METHODS and METHODS[s.method].needs_tokens]
    encoder = f"the encoder (a ViT for {' and '.join(vits)})" if vits else "the encoder"
    if "epochs" in shared:
        return f"Held equal: the images, {encoder}, the evaluations and the epochs; {took}."
    factors = {s.method: factor for s in summaries if (factor := longer(s.method)) != 1}
    but = "".join(f", of {method} as {factor * shared['minutes']:g}" for method, factor in factors.items())
    return (
        f"Held equal: the images, {encoder} and the evaluations. A run has as many epochs as "
        f"{shared['minutes']:g} minutes hold{but}, by steps that were timed before it; {took}."
    )


def table(summaries: Sequence[Summary], published: Mapping[str, float]) -> str:
    """Writes the table of the summaries, for a terminal.

    Args:
        published: linear accuracies, by method.
    """
    lines = [
        f"{'':<24}{'seeds':>6}{'epochs':>8}{'minutes':>9}{'kNN':>15}{'before':>9}{'linear probe':>15}{'before':>9}"
        + (f"{'published':>12}" if published else "")
    ]
    lines += [
        f"{s.method:<24}{s.seeds:>6}{s.epochs:>8}{s.seconds / 60:>9.1f}"
        + "".join(f"{s.scores[name]!s:>15}{s.random[name]:>9.1%}" for name in SCORES)
        + (f"{published[s.method]:>12.1%}" if s.method in published else "")
        for s in summaries
    ]
    return "\n".join(lines)
