"""The cross-correlation loss in plain PyTorch: the specification of the op, and its form over processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

EPSILON = 1e-5  # added to variances, as by BatchNorm1d


def cross_correlation_loss(z1: Tensor, z2: Tensor, lambd: float, group: dist.ProcessGroup | None = None) -> Tensor:
    """Computes the loss, fp32 (fp64 for fp64 inputs). Holds the (D, D) matrix."""
    count = torch.full((), len(z1), dtype=torch.float64, device=z1.device)
    count = _sum(count, group)
    z1, z2 = (_normalise(z, count, group) for z in (z1, z2))
    c = z1.T @ z2  # (D, D)
    if c.dtype != torch.float64:
        c = c.float()
    c = _sum(c, group) / count.to(c.dtype)
    d = len(c)
    on_diagonal = c.diagonal()
    off_diagonal = c.flatten()[:-1].view(d - 1, d + 1)[:, 1:]
    return (1 - on_diagonal).square().sum() + lambd * off_diagonal.square().sum()


def _normalise(z: Tensor, count: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    wide = z if z.dtype == torch.float64 else z.float()
    n = count.to(wide.dtype)
    centred = wide - _sum(wide.sum(0), group) / n
    variance = _sum(centred.square().sum(0), group) / n
    return (centred * (variance + EPSILON).rsqrt()).to(z.dtype)


def _sum(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    return x if group is None else _sum_over_ranks(x, group)


@torch.compiler.disable(reason="in a graph, the gradient through all_reduce is 0")
def _sum_over_ranks(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    total: Tensor = _SumOverRanks.apply(x, group)
    return total


class _SumOverRanks(torch.autograd.Function):
    """The sum of all ranks' tensors. Every rank's loss depends on each of them: the gradient is summed as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        x = x.clone()
        torch.distributed.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        return _SumOverRanks.apply(grad, ctx.group), None
