"""The confusion matrix of pixels, and the measures that it tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sslfast.evaluation.protocol import IOU


def confusion_matrix(truth: Tensor, predicted: Tensor, num_classes: int) -> Tensor:
    """Counts the pixels of each class that each class is predicted for, on their device.

    Args:
        truth: uint8 or int64, any shape: classes below num_classes, or IGNORED, which are left out.
        predicted: int64 of that shape, classes below num_classes.
        num_classes: C.

    Returns:
        int64 (C, C): the row is the true class, the column the predicted one.
    """
    rows = truth.long().clamp(max=num_classes)  # the ignored ones go into a row of their own
    counts = (num_classes * rows + predicted).flatten().bincount(minlength=num_classes * (num_classes + 1))
    return counts.view(num_classes + 1, num_classes)[:num_classes]


def measures(confusion: Tensor, classes: Sequence[str]) -> dict[str, Any]:
    """Computes what a confusion matrix (C, C) comes to, as shares in [0, 1].

    Returns:
        {"miou": the mean of the classes' IoU, over those that are true or predicted somewhere;
        "pixel_accuracy": of all pixels;
        "class_mean": the mean over the classes with pixels of the share that is found of each;
        "iou": by class, intersection over union of its true and its predicted pixels; None where there are none}.
    """
    confusion = confusion.double()
    right, true, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    iou = right / (true + predicted - right)  # nan where the union is empty
    return {
        "miou": iou.nanmean().item(),
        "pixel_accuracy": (right.sum() / true.sum()).item(),
        "class_mean": (right / true).nanmean().item(),
        IOU: {name: None if value != value else value for name, value in zip(classes, iou.tolist(), strict=True)},
    }
