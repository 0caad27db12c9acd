"""Top-1 and top-5 accuracy from scores."""

from __future__ import annotations

import torch
from torch import Tensor


def class_ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """The place of the right class of each image: the number of classes that score above it.

    Args:
        scores: (N, C), higher is better; -inf marks a class that is no candidate.
        labels: (N,) int64, the right classes.

    Returns:
        (N,) int64 in [0, C]: equal scores are in the order of the class numbers; C where the right class is no
        candidate or its score is not a number.
    """
    right = scores.gather(1, labels[:, None])
    number = torch.arange(scores.shape[1], device=scores.device)
    before = (scores > right) | ((scores == right) & (number < labels[:, None]))
    return before.sum(1).masked_fill(~right.squeeze(1).isfinite(), scores.shape[1])


def class_mean(class_ranks: Tensor, labels: Tensor) -> float:
    """The mean over the classes that have images of each one's top-1 accuracy, a share in [0, 1].

    Args:
        class_ranks: (N,), as `class_ranks` gives them.
        labels: (N,) int64, the right classes.
    """
    counts = labels.bincount()
    right = labels.bincount(weights=(class_ranks == 0).double())
    return (right[counts > 0] / counts[counts > 0]).mean().item()


def accuracy(class_ranks: Tensor, num_classes: int) -> dict[str, float]:
    """{"top1", "top5"}: shares in [0, 1]; no "top5" with five classes or fewer, where it says nothing."""
    shares = {"top1": (class_ranks == 0).double().mean().item()}
    if num_classes > 5:
        shares["top5"] = (class_ranks < 5).double().mean().item()
    return shares
