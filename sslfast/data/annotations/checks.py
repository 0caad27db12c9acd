"""From annotations as a file states them to the objects of an image, without those that cannot be."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sslfast.data.annotations.objects import Objects, Polygon
from sslfast.data.annotations.runs import Runs
from sslfast.data.sources.bad_files import Policy
from sslfast.errors import UsageError

logger = logging.getLogger(__name__)

SLACK = 1.0  # pixels that an object may reach beyond its image, by rounding or by counting from 1; these are cut
MOST_NAMED = 10  # that are named one by one


class Annotation(NamedTuple):
    """An object as a file states it.

    Attributes:
        where: the file and the place in it, for messages.
        label: position in the classes.
        box: x1 y1 x2 y2 in pixels.
        ignored: as of `Objects`.
        polygons: its outlines; None in a data set of boxes.
        runs: its mask, in place of outlines.
    """

    where: str
    label: int
    box: tuple[float, float, float, float]
    ignored: bool = False
    polygons: list[Polygon] | None = None
    runs: Runs | None = None


class BadObjects:
    """The record of a data set's objects that cannot be: they are named and left out, up to a share of all.

    Args:
        source: the data set's name, for the messages.
        max_share: of the objects that may be left out.
        on_error: "skip", or "stop" at the first.
    """

    def __init__(self, source: str, max_share: float, on_error: Policy) -> None:
        self.source, self.max_share, self.on_error = source, max_share, on_error
        self.count = self.total = 0

    def __len__(self) -> int:
        return self.count

    def add(self, where: str, reason: str) -> None:
        """Records an object. Raises UsageError where none may be left out."""
        if self.on_error == "stop":
            raise UsageError(f"{where}: {reason}; correct it, or go on without it by on_error=skip")
        self.count += 1
        if self.count <= MOST_NAMED:
            logger.warning("left out %s: %s", where, reason)
        self.last = f"{where}: {reason}"

    def check(self) -> None:
        """Raises UsageError where more objects were left out than may be."""
        if self.count > self.max_share * self.total:
            raise UsageError(
                f"{self.source}: {self.count} of {self.total} objects cannot be, more than max_bad="
                f"{self.max_share:g} allows; the last is {self.last}; correct them, or raise max_bad"
            )
        if self.count > MOST_NAMED:
            logger.warning("%s: left out %d of %d objects", self.source, self.count, self.total)


def objects_of(
    annotations: Sequence[Annotation], size: tuple[int, int], bad: BadObjects, *, has_polygons: bool
) -> Objects:
    """Collects an image's objects, without those that are empty, beyond it or there twice: `bad` records them.

    Args:
        annotations: of the image.
        size: its height and width.
        bad: of the data set.
        has_polygons: whether the data set has outlines.
    """
    kept: list[Annotation] = []
    seen = set()
    for annotation in annotations:
        bad.total += 1
        key = (annotation.label, annotation.box)
        reason = "is there twice" if key in seen else _reason(annotation, size)
        if reason:
            bad.add(annotation.where, reason)
        else:
            seen.add(key)
            kept.append(annotation)
    height, width = size
    boxes = np.array([annotation.box for annotation in kept], dtype=np.float32).reshape(-1, 4)
    return Objects(
        boxes=boxes.clip(0, np.array([width, height, width, height], dtype=np.float32)),
        labels=np.array([annotation.label for annotation in kept], dtype=np.int64),
        ignored=np.array([annotation.ignored for annotation in kept], dtype=bool),
        polygons=[annotation.polygons or [] for annotation in kept] if has_polygons else None,
        runs={place: annotation.runs for place, annotation in enumerate(kept) if annotation.runs},
    )


def _reason(annotation: Annotation, size: tuple[int, int]) -> str | None:
    """Says why an object cannot be in an image of this size; None if it can."""
    height, width = size
    x1, y1, x2, y2 = annotation.box
    if not np.isfinite(annotation.box).all():
        return "its box has numbers that are not finite"
    if x2 <= x1 or y2 <= y1:
        return f"its box is empty, {x2 - x1:g} x {y2 - y1:g} pixels"
    corners = [np.array([[x1, y1], [x2, y2]]), *(annotation.polygons or [])]
    x, y = np.concatenate(corners).T
    if not (min(x.min(), y.min()) >= -SLACK and x.max() <= width + SLACK and y.max() <= height + SLACK):
        return (
            f"reaches beyond its image of {width} x {height} pixels, from ({x.min():g}, {y.min():g}) to "
            f"({x.max():g}, {y.max():g})"
        )
    if annotation.runs and (annotation.runs.height, annotation.runs.width) != size:
        mask = f"{annotation.runs.width} x {annotation.runs.height}"
        return f"its mask is of {mask} pixels, its image of {width} x {height}"
    return None
