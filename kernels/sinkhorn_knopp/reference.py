"""Sinkhorn-Knopp in plain PyTorch: the specification of the op, and its form over several processes.

It is SwAV's algorithm, but for the first normalization of either kind, which works with logarithms. SwAV
exponentiates before it, so that a row whose scores lie far below the largest of the matrix becomes 0 / 0. After
it a row sums to 1 and a column to at least 1 / (B K): then nothing vanishes any more that matters.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def sinkhorn_knopp(
    scores: Tensor, epsilon: float, iterations: int, group: dist.ProcessGroup | None = None
) -> Tensor:
    """Computes codes (B, K), fp32 (fp64 for fp64 scores), of this process's rows out of all with a group."""
    logits = scores.to(torch.promote_types(scores.dtype, torch.float32)) / epsilon
    has_codes = logits.amax(dim=1, keepdim=True).isfinite()  # amax hands NaN on
    logits = logits.masked_fill(~has_codes, -torch.inf)
    total = _logsumexp(logits, group)  # (K,)
    q = (logits - total.masked_fill(total == -torch.inf, 0)).softmax(dim=1)  # NaN in rows without codes
    for _ in range(iterations - 1):
        total = _sum(q.nansum(dim=0), group)
        q = q / total.masked_fill(total == 0, 1)
        q = q / q.sum(dim=1, keepdim=True)
    return q


def _sum(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Sums x over the processes, in place."""
    if group is not None:
        dist.all_reduce(x, dist.ReduceOp.SUM, group=group)
    return x


def _logsumexp(logits: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Returns the logarithms of the sums of exp(logits) over the rows of all processes, (K,)."""
    local = logits.logsumexp(dim=0)
    if group is None:
        return local
    top = local.clone()
    dist.all_reduce(top, dist.ReduceOp.MAX, group=group)
    top = top.masked_fill(top == -torch.inf, 0)
    return top + _sum((local - top).exp(), group).log()
