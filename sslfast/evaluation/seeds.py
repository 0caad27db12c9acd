"""The rows of several seeds as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from sslfast.evaluation.protocol import CONFUSION, IOU, Row


@dataclass(frozen=True)
class Spread:
    """A measure over several seeds: its mean, and its sample standard deviation."""

    mean: float
    deviation: float


def over_seeds(rows: Iterable[Row]) -> list[Row]:
    """Makes a row for each encoder and setting out of the rows of each seed, in the same order.

    Of several seeds a measure (a float) becomes a `Spread`, a setting that the seeds chose alike stays, others
    stand side by side, the confusions are added up, and of each class's IoU the mean is taken, over the seeds that
    have one. Rows of one seed stay as they are.

    Args:
        rows: as of an `Evaluation`; those of one encoder and seed are in the same order for each seed.
    """
    groups: dict[tuple[Any, int], list[Row]] = defaultdict(list)
    seen: dict[tuple[Any, Any], int] = defaultdict(int)
    for row in rows:
        encoder, seed = row.get("encoder"), row.get("seed")
        groups[encoder, seen[encoder, seed]].append(row)
        seen[encoder, seed] += 1
    return [group[0] if len(group) == 1 else _joined(group) for group in groups.values()]


def _joined(group: Sequence[Row]) -> Row:
    """Joins the rows of some seeds into one."""
    joined: Row = {}
    for key in group[0]:
        values = [row[key] for row in group if key in row]
        if key == CONFUSION:
            joined[key] = _sum(values)
        elif key == IOU:
            joined[key] = _means(values)
        elif all(isinstance(value, float) for value in values) and len(values) > 1:
            joined[key] = Spread(fmean(values), stdev(values))
        elif key != "seed":
            different = list(dict.fromkeys(values))
            joined[key] = different[0] if len(different) == 1 else ", ".join(map(str, different))
    return joined


def _means(of_seeds: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    found = {name: [iou for of_seed in of_seeds if (iou := of_seed[name]) is not None] for name in of_seeds[0]}
    return {name: fmean(values) if values else None for name, values in found.items()}


def _sum(confusions: Iterable[list[list[int]]]) -> list[list[int]]:
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for confusion in confusions:
        for label, predicted, images in confusion:
            counts[label, predicted] += images
    return [[label, predicted, images] for (label, predicted), images in sorted(counts.items())]
