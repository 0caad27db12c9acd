"""The cross-correlation loss in plain PyTorch: the specification of the op, and its form over processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from sslfast.kernels.common.collectives import sum_over_ranks

EPSILON = 1e-5  # added to variances, as by BatchNorm1d


def cross_correlation_loss(z1: Tensor, z2: Tensor, lambd: float, group: dist.ProcessGroup | None = None) -> Tensor:
    """Computes the loss, fp32 (fp64 for fp64 inputs). Holds the (D, D) matrix."""
    count = torch.full((), len(z1), dtype=torch.float64, device=z1.device)
    count = _sum(count, group)
    z1, z2 = (_normalize(z, count, group) for z in (z1, z2))
    with torch.autocast(z1.device.type, enabled=False):
        c = z1.T @ z2  # (D, D)
    if c.dtype != torch.float64:
        c = c.float()
    c = _sum(c, group) / count.to(c.dtype)
    d = len(c)
    on_diagonal = c.diagonal()
    off_diagonal = c.flatten()[:-1].view(d - 1, d + 1)[:, 1:]
    return (1 - on_diagonal).square().sum() + lambd * off_diagonal.square().sum()


def _normalize(z: Tensor, count: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    wide = z if z.dtype == torch.float64 else z.float()
    n = count.to(wide.dtype)
    centered = wide - _sum(wide.sum(0), group) / n
    variance = _sum(centered.square().sum(0), group) / n
    return (centered * (variance + EPSILON).rsqrt()).to(z.dtype)


def _sum(x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    return x if group is None else sum_over_ranks(x, group)
