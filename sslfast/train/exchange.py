"""The exchange of gradients between the processes of a run: PyTorch's own, which overlaps the backward pass."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sslfast.distributed import world_size
from sslfast.methods import Method


def exchanged(method: Method) -> nn.Module:
    """Wraps a method whose loss is called on every rank: its gradients become their means over the ranks.

    DistributedDataParallel sends a bucket of gradients as soon as the backward pass has made them. A network may
    rest in some epochs, such as frozen prototypes: so it looks for `unused` parameters in every step. That also
    keeps its first buckets. It would else deal the parameters out anew after the first step of each process, and
    sums over more than two ranks would have another order in a run that was resumed. Where none rests, torch says
    so in the first step, from C++, where no filter of Python's takes the warning.

    Returns:
        What is called in place of the method: itself, where there is one process.
    """
    if world_size() == 1:
        return method
    return DistributedDataParallel(
        method, broadcast_buffers=False, find_unused_parameters=True, gradient_as_bucket_view=True
    )


def kept_apart(module: nn.Module) -> AbstractContextManager[None]:
    """The context of a backward pass whose gradients stay on their rank, until those of a later one are sent.

    Args:
        module: what `exchanged` gave.
    """
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()
