"""Collectives with a gradient: the sum of tensors over processes, and what other ones return."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def sum_over_ranks(tensor: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Adds up a tensor of one shape on every rank. Every rank's loss depends on each: gradients are summed too.

    Args:
        tensor: of one shape and dtype on every rank.
        group: the processes; None: all.
    """
    total: Tensor = _SumOverRanks.apply(tensor, group)
    return total


def returned(buffer: Tensor) -> Tensor:
    """Returns the buffer that a collective wrote, as an autograd function may return it.

    torch.compile takes that buffer itself for one without gradient; there a copy is returned.
    """
    return buffer.clone() if torch.compiler.is_compiling() else buffer


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        total = tensor.clone()
        dist.all_reduce(total, group=group)
        return returned(total)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        return _SumOverRanks.apply(grad, ctx.group), None
