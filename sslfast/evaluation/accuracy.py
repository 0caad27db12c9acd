"""From scores to accuracies, and to what is taken for what."""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast.evaluation.protocol import CONFUSION, Row


def class_ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """Ranks the right class of each image: counts the classes that score above it.

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
    """Averages the top-1 accuracies of the classes that have images, a share in [0, 1].

    Args:
        class_ranks: (N,), as `class_ranks` gives them.
        labels: (N,) int64, the right classes.
    """
    counts = labels.bincount()
    right = labels.bincount(weights=(class_ranks == 0).double())
    return (right[counts > 0] / counts[counts > 0]).mean().item()


def accuracy(class_ranks: Tensor, num_classes: int) -> dict[str, float]:
    """Computes {"top1", "top5"}: shares in [0, 1]; no "top5" with five classes or fewer, where it says nothing."""
    shares = {"top1": (class_ranks == 0).double().mean().item()}
    if num_classes > 5:
        shares["top5"] = (class_ranks < 5).double().mean().item()
    return shares


def predicted_classes(scores: Tensor) -> Tensor:
    """Finds the class of highest score of each image, of equal ones the first; C where no score is finite.

    Args:
        scores: (N, C), as `class_ranks` takes them.

    Returns:
        (N,) int64 in [0, C].
    """
    finite = scores.masked_fill(~scores.isfinite(), -torch.inf)
    best = finite.amax(1, keepdim=True)
    number = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
    return number.masked_fill((finite < best) | ~best.isfinite(), scores.shape[1]).amin(1)


class Predictions:
    """What a classifier makes of images, gathered as its scores come.

    Args:
        num_classes: C.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._ranks: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._predicted: list[Tensor] = []

    def add(self, scores: Tensor, labels: Tensor) -> None:
        """Adds images: their scores (N, C), as `class_ranks` takes them, and their right classes (N,) int64."""
        self._ranks.append(class_ranks(scores, labels))
        self._labels.append(labels)
        self._predicted.append(predicted_classes(scores))

    def accuracies(self) -> dict[str, float]:
        """Computes {"top1", "top5", "class_mean"}, shares in [0, 1]: those of `accuracy`, and `class_mean`."""
        ranks, labels = torch.cat(self._ranks), torch.cat(self._labels)
        return {**accuracy(ranks, self.num_classes), "class_mean": class_mean(ranks, labels)}

    def confusion(self) -> list[list[int]]:
        """Lists [label, predicted class, number of images] of each pair that occurs, in order.

        Images for which a classifier has no finite score are left out: it predicts nothing.
        """
        pairs = torch.stack([torch.cat(self._labels), torch.cat(self._predicted)])
        pairs, counts = pairs[:, pairs[1] < self.num_classes].unique(dim=1, return_counts=True)
        confusion: list[list[int]] = torch.cat([pairs, counts[None]]).T.tolist()
        return confusion

    def row(self) -> Row:
        """Returns the accuracies and the confusion, as of a result's row."""
        return {**self.accuracies(), CONFUSION: self.confusion()}
