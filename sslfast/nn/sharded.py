"""InfoNCE against a queue of which each rank holds a part."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sslfast import kernels as K
from sslfast.distributed import all_to_all, gather
from sslfast.kernels.common.losses import reduce


def sharded_info_nce(
    query: Tensor, positive: Tensor, queue: Tensor, group: dist.ProcessGroup, settings: dict[str, Any]
) -> Tensor | tuple[Tensor, Tensor]:
    """Computes `kernels.info_nce` of a rank's queries against the queues of all ranks.

    The queries travel, not the keys: every rank has the losses of all queries against its own part of the queue,
    and gives each back to the rank whose query it is, where the parts are merged. The backward pass goes the same
    way back. It is exact, whatever the lengths of the parts.

    Args:
        query, positive: (N, D), this rank's; N and D are the same on every rank.
        queue: (K, D), this rank's part of the negative keys.
        group: the ranks.
        settings: the op's keyword arguments, without label smoothing and debiasing.

    Returns:
        As the op, of this rank's queries. The gradients are those of the sum of all ranks' losses; a temperature
        has a part of its gradient on each rank.
    """
    queries, positives = gather(query, group), gather(positive, group)  # (W * N, D)
    found = K.info_nce(queries, positives, queue, **(settings | {"reduction": "none"}))
    losses, ranks = found if settings["return_rank"] else (found, None)
    merged = reduce(merge(all_to_all(losses, group).view(-1, len(query))), settings["reduction"])
    return merged if ranks is None else (merged, all_to_all(ranks, group).view(-1, len(query)).sum(dim=0))


def merge(losses: Tensor) -> Tensor:
    """Merges the InfoNCE losses of queries against each part of their negatives: (W, N) -> (N,).

    A loss against part r is l_r = log(1 + S_r), where S_r is the sum over its negatives of exp(s - s_+). That
    against all parts is log(1 + S_1 + ... + S_W), with log S_r = l_r + log(1 - exp(-l_r)).
    """
    merged: Tensor = _Merge.apply(losses)
    return merged


class _Merge(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, losses: Tensor) -> Tensor:
        positive = losses.clamp(min=0)  # a loss of 0 may come as less by a rounding
        log_sums = positive + torch.log(-torch.expm1(-positive))  # -inf where no negative counts
        merged = torch.nn.functional.softplus(log_sums.logsumexp(dim=0), threshold=50)
        ctx.save_for_backward(losses, merged)
        return merged

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        losses, merged = ctx.saved_tensors
        return grad * torch.exp(losses - merged)  # d merged / d l_r = exp(l_r) / (1 + S)
