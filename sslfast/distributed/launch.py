"""The processes of one run, as torchrun starts them: each has a GPU of its own, or all are on the CPU."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from sslfast.device import choose_device
from sslfast.distributed import largest, rank, world_size
from sslfast.errors import UsageError


@contextmanager
def joined() -> Iterator[None]:
    """Joins the processes that torchrun has started, until the block ends.

    Tensors on GPUs go by NCCL, those of the host by gloo. Without torchrun's environment, in a single process, or
    where the caller has joined them, nothing happens.

    Raises:
        UsageError: this torch cannot have several processes.
    """
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys() or os.environ["WORLD_SIZE"] == "1" or world_size() > 1:
        yield
        return
    if not dist.is_available():
        raise UsageError("torchrun: this torch is built without torch.distributed; run one process")
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    if rank() > 0:
        logging.disable(logging.INFO)  # rank 0 says it
    yield
    dist.destroy_process_group()  # not after an error: the other ranks might never come to it


def own_device(name: str) -> torch.device:
    """Chooses a device as `choose_device`; of several processes each gets the GPU of its rank on the machine.

    Raises:
        UsageError: no such device here, one for all processes, or fewer GPUs than processes.
    """
    device = choose_device(name)
    if world_size() == 1 or device.type != "cuda":
        return device
    if name not in ("auto", "cuda"):
        raise UsageError(f"train.device={name}: expected auto or cuda, as each process has a GPU of its own")
    local, gpus = dist.get_node_local_rank(), torch.cuda.device_count()
    if local >= gpus:
        raise UsageError(
            f"torchrun: more processes than the {gpus} GPUs of this machine; start --nproc-per-node {gpus}, "
            "or set train.device=cpu"
        )
    torch.cuda.set_device(local)  # the device that NCCL and a bare "cuda" mean
    return torch.device("cuda", local)


@contextmanager
def first_alone() -> Iterator[None]:
    """Lets the first process of each machine through the block before the others, which find what it prepared."""
    first = world_size() == 1 or dist.get_node_local_rank(fallback_rank=rank()) == 0
    if not first:
        largest(0)  # a barrier
    yield
    if first:
        largest(0)
