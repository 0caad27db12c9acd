"""The summary of a finished run, summary.json: its last figures beside what they are to be compared with."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from sslfast.errors import TrainingError, UsageError
from sslfast.run.atomic import atomic_write
from sslfast.run.metrics import FORMER_KNN


@dataclass(frozen=True)
class Fault:
    """A sign that a run has learned nothing.

    Attributes:
        kind: "knn_below_initial", "loss_at_chance", "collapsed" or "steps_skipped".
        message: the figures, and what to do, in a sentence.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class RunSummary:
    """The last figures of a run; those that it lacks are None.

    Attributes:
        steps: number of steps, skipped ones included.
        epochs: number of epochs.
        skipped_steps: number of steps whose loss or gradient was not finite.
        loss: the mean of the losses logged in the last tenth of the steps.
        chance_loss: the loss of networks that tell no images apart, see `Method.chance_loss`.
        std: the mean, in the same steps, of the standard deviation of embeddings.
        even_std: that of embeddings that are spread evenly, see `Method.even_std`.
        knn_top1: accuracy of kNN on the held-out images, a share in [0, 1].
        knn_initial_top1: that of the initial weights.
        val_images: number of held-out images.
        judged: whether the run was long enough to be judged by all its figures.
        faults: signs that it has learned nothing.
    """

    steps: int
    epochs: int
    skipped_steps: int
    loss: float | None
    chance_loss: float | None
    std: float | None
    even_std: float | None
    knn_top1: float | None
    knn_initial_top1: Annotated[float | None, Field(validation_alias=AliasChoices("knn_initial_top1", FORMER_KNN))]
    val_images: int
    judged: bool
    faults: list[Fault]

    def save(self, path: Path) -> None:
        """Writes the summary as a JSON object of its attributes. Raises TrainingError if it cannot be written."""
        try:
            with atomic_write(path) as file:
                file.write(json.dumps(dataclasses.asdict(self), indent=2).encode() + b"\n")
        except OSError as error:
            raise TrainingError(f"{path}: cannot write the summary: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> RunSummary:
        """Reads what `save` wrote. Raises UsageError if it is something else."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: not the summary of a run; finish the run again with --resume") from error


def finished(path: Path, epochs: int) -> RunSummary | None:
    """Loads the summary of a run that is to have so many epochs; None where it has not come to them yet.

    A run that is extended keeps the summary of its former end until then.

    Raises:
        UsageError: as `RunSummary.load`.
    """
    if not path.exists():
        return None
    summary = RunSummary.load(path)
    return summary if summary.epochs == epochs else None
