"""The result of an evaluation: a table for the terminal, a JSON file for the run."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from dataclasses import field
from pathlib import Path
from typing import Any

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, Sources
from sslfast.data.sources.names import joined
from sslfast.errors import UsageError, printable
from sslfast.evaluation.name import natural_order, result_name
from sslfast.evaluation.seeds import Spread, over_seeds
from sslfast.run.atomic import atomic_write

NUMBERS = re.compile(r"\[\s+([-+.\d][-+.\w,\s]*?)\s+\]")  # a list of nothing but numbers, a line each

# The columns of a table, those of a row that has them, in this order.
HEADINGS = {
    "encoder": "encoder",
    "labels": "labels",
    "k": "k",
    "temperature": "temperature",
    "weight_decay": "weight decay",
    "train_top1": "train top-1",
    "top1": "held-out top-1",
    "top5": "held-out top-5",
    "miou": "held-out mIoU",
    "pixel_accuracy": "pixels",
    "class_mean": "mean of classes",
    "ap": "held-out AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "mask_ap": "mask AP",
    "mask_ap50": "mask AP50",
    "mask_ap75": "mask AP75",
    "mask_ap_small": "mask AP small",
    "mask_ap_medium": "mask AP medium",
    "mask_ap_large": "mask AP large",
}


@dataclass(config=STRICT, frozen=True)
class Evaluation:
    """One evaluation of a checkpoint.

    Attributes:
        kind: the protocol, a key of `sslfast.evaluation.protocols.PROTOCOLS`.
        checkpoint: the checkpoint or the run that was evaluated.
        data: the training images' source, or several.
        val: the held-out images' source, or several; None: a part of `data`.
        options: the protocol's settings, plain values.
        train_images: number of training images.
        val_images: number of held-out images.
        classes: number of classes.
        chance: share of the held-out images in their commonest class, which a constant guess reaches; None where
            an image is not of one class.
        rows: one for each encoder, seed and line of the table; see `protocol.Row`.
        own_split: whether the held-out images are those that the run's pre-training held out.
        step: the checkpoint's number of training steps; None: it does not tell.
        weights: a digest of the pre-trained encoder's weights; None: that of an older sslfast, which had none.
        class_names: the classes' names, in the order in which the rows count them.
        supervised: the encoder of the rows "supervised", as it was named; None: there are none.
        supervised_weights: a digest of its weights.
        lists: digests of the files that settings name, by the settings' names.
        versions: of Python and of packages, by name.
        device: the accelerator's name, or "CPU".
        commit: that of sslfast, where it runs from a checkout; "-dirty" where files differ from it.
        command: the command line; None: the evaluation was called from Python.
        seconds: the time that the judgement took, without that of opening images and encoders.
    """

    kind: str
    checkpoint: str
    data: Sources
    val: Sources | None
    options: dict[str, Any]
    train_images: int
    val_images: int
    classes: int
    chance: float | None
    rows: list[dict[str, Any]]
    own_split: bool = False
    step: int | None = None
    weights: str | None = None
    class_names: list[str] = field(default_factory=list)
    supervised: str | None = None
    supervised_weights: str | None = None
    lists: dict[str, str] = field(default_factory=dict)
    # How the result was made, which makes no other one of it.
    versions: dict[str, str] = field(default_factory=dict, compare=False)
    device: str | None = field(default=None, compare=False)
    commit: str | None = field(default=None, compare=False)
    command: str | None = field(default=None, compare=False)
    seconds: float | None = field(default=None, compare=False)

    def save(self, folder: Path) -> Path:
        """Writes `<name>.json` into a folder, which is made if need be; returns the file.

        No other result is replaced: where the name is taken by another, a number follows it.

        Raises:
            UsageError: the file cannot be written.
        """
        path = folder / f"{self.name()}.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number in itertools.count(2):
                if not path.exists() or self._is_at(path):
                    break
                path = folder / f"{self.name()}-{number}.json"
            with atomic_write(path) as file:
                file.write(self._json().encode())
        except OSError as error:
            raise UsageError(f"{path}: cannot write the evaluation: {error.strerror or error}") from error
        return path

    def _json(self) -> str:
        """Writes the fields as JSON, lists of numbers in a line."""
        lines = json.dumps(dataclasses.asdict(self), indent=2)
        return NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", lines) + "\n"

    def _is_at(self, path: Path) -> bool:
        """Tells whether a file holds this result, with whatever spelling of the paths."""
        try:
            before = Evaluation.load(path)
        except UsageError:
            return False
        return dataclasses.replace(before, checkpoint=self.checkpoint, data=self.data, val=self.val) == self

    def name(self) -> str:
        """Names the result's file, without a suffix; see `result_name`."""
        encoders = list(dict.fromkeys(row.get("encoder") for row in self.rows))
        return result_name(
            self.kind,
            self.checkpoint_id(),
            self.data,
            self.val,
            self.options,
            encoders,
            step=self.step,
            supervised=self.supervised_weights,
            lists=self.lists,
        )

    def checkpoint_id(self) -> str:
        """Returns the digest of the weights; for a result without one, the checkpoint's path."""
        return self.weights or self.checkpoint

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        """Reads what `save` wrote. Raises UsageError if it is something else, or cannot be read."""
        try:
            evaluation = cls(**json.loads(path.read_text(encoding="utf-8")))
            evaluation.table()  # which fails where a field is of another type
        except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise UsageError(f"{path}: not an evaluation of sslfast; evaluate again, or remove it") from error
        return evaluation

    def caption(self) -> str:
        """Shows the protocol, the data and their numbers, in a line, `printable`."""
        val = f" of {joined(self.val)}" if self.val else " as in pre-training" if self.own_split else ""
        chance = "" if self.chance is None else f", chance {self.chance:.1%}"
        step = "" if self.step is None else f" at step {self.step}"
        supervised = "" if self.supervised is None else f", supervised ones of {self.supervised}"
        number = len({row.get("seed") for row in self.rows})
        seeds = f"; {number} seeds: mean ± standard deviation" if number > 1 else ""
        return printable(
            f"{self.kind} on {joined(self.data)}: {self.train_images} training images, "
            f"{self.val_images} held out{val}, {self.classes} classes{chance}; "
            f"weights of {self.checkpoint}{step}{supervised}{seeds}"
        )

    def settings(self) -> str:
        """Lists the options, in a line, as they are given on the command line."""
        return " ".join(f"{key}={_setting(value)}" for key, value in self.options.items())

    def making(self) -> list[str]:
        """Says how the result was made, in lines of what is known of it."""
        with_commit = self.versions | ({"commit": self.commit} if self.commit else {})
        parts = [f"{name} {version}" for name, version in with_commit.items()]
        parts += [] if self.device is None else [f"on {self.device}"]
        parts += [] if self.seconds is None else [f"in {self.seconds:g} s"]
        return [line for line in (self.command, ", ".join(parts)) if line]

    def cells(self) -> list[list[str]]:
        """Returns the table's headings, then its rows, as text."""
        rows = over_seeds(self.rows)
        columns = [key for key in HEADINGS if any(key in row for row in rows)]
        return [[HEADINGS[key] for key in columns]] + [[shown(row.get(key)) for key in columns] for row in rows]

    def table(self) -> str:
        """Writes caption, settings and the table, aligned for a terminal."""
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
        return "\n".join([self.caption(), self.settings(), *lines])


def _setting(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).strip('"')


def shown(value: Any) -> str:
    """Shows a value of a row: a share in [0, 1] as a percentage, a `Spread` with its deviation in points."""
    if value is None:
        return "-"
    if isinstance(value, Spread):
        return f"{value.mean:.1%} ± {100 * value.deviation:.1f}"
    return f"{value:.1%}" if isinstance(value, float) else str(value)


def load_results(folder: Path) -> dict[Path, Evaluation]:
    """Loads the results in a folder, by their files in natural order: of those of a name the latest is the last.

    Raises:
        UsageError: a file there is no evaluation.
    """
    return {path: Evaluation.load(path) for path in sorted(folder.glob("*.json"), key=natural_order)}
