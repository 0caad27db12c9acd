"""Collectives over the samples of all ranks; in one process they send nothing.

`gather`, `all_to_all` and `mean` are differentiable: the gradient is that of the sum of all ranks' losses. The
average over the ranks, as DistributedDataParallel takes it, makes it that of their mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sslfast.kernels.common.collectives import returned, sum_over_ranks


def rank(group: dist.ProcessGroup | None = None) -> int:
    """Returns the rank of this process in the group, by default in that of all processes; 0 without one."""
    return dist.get_rank(group) if dist.is_available() and dist.is_initialized() else 0


def world_size(group: dist.ProcessGroup | None = None) -> int:
    """Returns the number of processes of the group; 1 without one."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def world() -> dist.ProcessGroup | None:
    """Returns the group of all processes, for ops that take a `group`; None where there is only one process."""
    return dist.group.WORLD if world_size() > 1 else None


def gather(rows: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Gathers the rows of all ranks, those of rank 0 first: (N, ...) -> (W * N, ...).

    Backward, a rank receives the gradients that all ranks' losses have to its own rows (a reduce-scatter).

    Args:
        rows: of one shape and dtype on every rank.
        group: the processes; None: all.
    """
    return rows if world_size(group) == 1 else _Gather.apply(rows, group)


def all_to_all(rows: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Sends part j of the rows to rank j, and puts what came from rank j in its place.

    Args:
        rows: (W * N, ...), a part of N rows for each rank, of one shape and dtype on every rank.
        group: the processes; None: all.
    """
    return rows if world_size(group) == 1 else _AllToAll.apply(rows, group)


@torch.no_grad()
def gather_uneven(rows: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Gathers rows of ranks that may have different numbers of them, without gradient. Waits for the device.

    Beside the ranks' own rows it takes no memory but the result's.
    """
    if world_size(group) == 1:
        return rows
    counts = gather(torch.tensor([len(rows)], device=rows.device), group).tolist()
    gathered = rows.new_empty((sum(counts), *rows.shape[1:]))
    parts = gathered.split(counts)
    parts[rank(group)].copy_(rows)
    for source, part in enumerate(parts):
        dist.broadcast(part, group=group, group_src=source)
    return gathered


def local_rows(rows: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Returns the part of the rows of all ranks that is this rank's: (W * N, ...) -> (N, ...)."""
    return rows.chunk(world_size(group))[rank(group)]


def own_parts(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Returns this rank's parts, over the same memory, of tensors that FSDP2 has cut; others stay."""
    return [part() if (part := getattr(tensor, "to_local", None)) else tensor for tensor in tensors]


@torch.no_grad()
def shuffle(rows: Tensor, group: dist.ProcessGroup | None = None) -> tuple[Tensor, Tensor]:
    """Deals the rows of all ranks out anew, in an order that rank 0 samples from torch's generator.

    MoCo's ShuffleBN (He et al. 2020, section 3.3): rows that a rank normalizes together then come from all ranks.

    Args:
        rows: (N, ...), of one shape and dtype on every rank.
        group: the processes; None: all.

    Returns:
        (shuffled, order): the rows that are now this rank's, (N, ...), without gradient, and int64 (W * N,), the
        same on every rank, for `unshuffle`.
    """
    order = torch.randperm(world_size(group) * len(rows), device=rows.device)
    if world_size(group) > 1:
        dist.broadcast(order, group=group, group_src=0)
    return gather(rows, group)[local_rows(order, group)], order


def unshuffle(rows: Tensor, order: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Takes each row back to the rank and the place that it had before `shuffle`.

    Args:
        rows: (N, ...), made row by row of those that `shuffle` gave.
        order: as it gave.
        group: the processes; None: all.

    Returns:
        (N, ...); its gradients pass to the ranks that made the rows.
    """
    return gather(rows, group)[local_rows(order.argsort(), group)]


def mean(tensor: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Computes the mean over the ranks of a tensor of one shape; backward, the mean of the gradients to it."""
    return tensor if world_size(group) == 1 else sum_over_ranks(tensor / world_size(group), group)


@torch.no_grad()
def average_(tensors: Sequence[Tensor], group: dist.ProcessGroup | None = None) -> None:
    """Replaces each tensor by its mean over the ranks, in one all-reduce; the same bits on every rank.

    Args:
        tensors: of one shape each on every rank, floating-point.
        group: the processes; None: all.
    """
    if world_size(group) == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat, group=group)
    parts = (flat / world_size(group)).split([tensor.numel() for tensor in tensors])
    means = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
    torch._foreach_copy_(list(tensors), means)


@torch.no_grad()
def broadcast_(tensors: Iterable[Tensor]) -> None:
    """Replaces each tensor by that of rank 0, of the same shape and memory format."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def largest(number: int) -> int:
    """Finds the largest of the ranks' numbers. The hosts exchange them by gloo: no device is waited for."""
    if world_size() == 1:
        return number
    numbers = torch.tensor(number)
    dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return int(numbers)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        gathered = rows.new_empty((world_size(group) * len(rows), *rows.shape[1:]))
        dist.all_gather_into_tensor(gathered, rows.contiguous(), group=group)
        return returned(gathered)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(grad, ctx.group), None


class _Scatter(torch.autograd.Function):
    """The sum of all ranks' gathered rows, of which each rank gets its own: the transpose of `_Gather`."""

    @staticmethod
    def forward(ctx: Any, gathered: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        rows = gathered.new_empty((len(gathered) // world_size(group), *gathered.shape[1:]))
        dist.reduce_scatter_tensor(rows, gathered.contiguous(), group=group)
        return returned(rows)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Gather.apply(grad, ctx.group), None


class _AllToAll(torch.autograd.Function):
    """Each rank's part for each rank, which is its own transpose."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        received = torch.empty_like(rows, memory_format=torch.contiguous_format)
        dist.all_to_all_single(received, rows.contiguous(), group=group)
        return returned(received)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _AllToAll.apply(grad, ctx.group), None
