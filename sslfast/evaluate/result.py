"""What an evaluation found: a table for the terminal, a JSON file for the run."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslfast.errors import UsageError

# The columns of a table, those of a row that has them, in this order.
HEADINGS = {
    "encoder": "encoder",
    "k": "k",
    "train_top1": "train top-1",
    "top1": "held-out top-1",
    "top5": "held-out top-5",
}


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a checkpoint.

    Attributes:
        kind: "knn" or "linear".
        checkpoint: what was evaluated.
        data: the training images' source.
        val: the held-out images' source; None: a part of `data`.
        options: the settings, plain values.
        train_images: number of training images.
        val_images: number of held-out images.
        classes: number of classes.
        chance: share of the held-out images in their commonest class, which a constant guess reaches.
        rows: one a line of the table, keys out of HEADINGS; accuracies are shares in [0, 1].
        own_split: whether the held-out images are those that the run's pre-training held out.
    """

    kind: str
    checkpoint: str
    data: str
    val: str | None
    options: dict[str, Any]
    train_images: int
    val_images: int
    classes: int
    chance: float
    rows: list[dict[str, Any]]
    own_split: bool = False

    def save(self, folder: Path) -> Path:
        """Writes <kind>-<data>.json into a folder, which is made if need be; returns the file.

        Of a path of data, its last part makes the name. Raises UsageError if the file cannot be written.
        """
        data = re.sub(r"[^\w.-]+", "_", Path(self.data).expanduser().resolve().name)
        path = folder / f"{self.kind}-{data}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"{path}: cannot write the evaluation: {error.strerror}") from error
        return path

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Reads what `save` wrote. Raises UsageError if it is something else."""
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path}: not an evaluation of sslfast; evaluate again, or remove it") from error

    def caption(self) -> str:
        """What was evaluated, in a line."""
        val = f" of {self.val}" if self.val else " as in pre-training" if self.own_split else ""
        return (
            f"{self.kind} on {self.data}: {self.train_images} training images, {self.val_images} held out{val}, "
            f"{self.classes} classes, chance {self.chance:.1%}"
        )

    def settings(self) -> str:
        """The options, in a line, as they are given on the command line."""
        return " ".join(f"{key}={_setting(value)}" for key, value in self.options.items())

    def cells(self) -> list[list[str]]:
        """The table's headings, then its rows, as text."""
        columns = [key for key in HEADINGS if any(key in row for row in self.rows)]
        return [[HEADINGS[key] for key in columns]] + [
            [_shown(row.get(key)) for key in columns] for row in self.rows
        ]

    def table(self) -> str:
        """Caption, settings and the table, aligned for a terminal."""
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
        return "\n".join([self.caption(), self.settings(), *lines])


def _setting(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).strip('"')


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if isinstance(value, float) else str(value)
