"""The last steps of every loss: its reduction over the samples, and the rank of each positive."""

from typing import Literal

from torch import Tensor

Reduction = Literal["mean", "sum", "none"]


def reduce(losses: Tensor, reduction: Reduction) -> Tensor:
    """Applies "mean", "sum" or "none" to per-sample losses."""
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def positive_ranks(logits: Tensor, target: Tensor, needed: bool) -> Tensor:
    """Counts the logits of each row that are greater than its target's: int64, (N,), or (0,) if it is not needed.

    Args:
        logits: (N, K); what is no negative is -inf.
        target: int64 (N,), the columns of the positives.
        needed: whether the ranks are asked for.
    """
    if not needed:
        return target.new_empty(0)
    logits = logits.detach()
    return (logits > logits.gather(1, target[:, None])).sum(dim=1)
