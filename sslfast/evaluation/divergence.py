"""Trainings that diverge, whose results would mean nothing."""

from __future__ import annotations

from torch import Tensor

from sslfast.errors import TrainingError


def check_finite(scores: Tensor) -> None:
    """Raises TrainingError where scores, or losses, of a trained network are not finite."""
    if not scores.isfinite().all():
        raise TrainingError("the training has diverged, to scores that are no finite numbers; set a lower lr")
