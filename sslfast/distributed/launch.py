"""The processes of one run, as torchrun starts them: each has a GPU of its own, or all are on the CPU."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from textwrap import shorten

import torch
import torch.distributed as dist

from sslfast.device import choose_device
from sslfast.distributed import largest, rank, world_size
from sslfast.distributed.ranks import Ranks
from sslfast.errors import TrainingError, UsageError


@contextmanager
def joined(timeout: int) -> Iterator[Ranks]:
    """Joins the processes that torchrun has started, until the block ends.

    Tensors on GPUs go by NCCL, those of the host by gloo. Without torchrun's environment, in a single process, or
    where the caller has joined them, nothing happens.

    Args:
        timeout: seconds that a process waits for the others in an exchange.

    Raises:
        UsageError: this torch cannot have several processes, or the caller's cannot exchange tensors of the host.
        TrainingError: not all come, or one is lost.
    """
    if world_size() > 1 and "cpu:" not in (backends := dist.get_backend_config()):
        raise UsageError(
            f"init_process_group: expected a backend for tensors of the host, too, got {backends}; join the "
            "processes with backend='cpu:gloo,cuda:nccl'"
        )
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys() or os.environ["WORLD_SIZE"] == "1" or world_size() > 1:
        yield Ranks()
        return
    if not dist.is_available():
        raise UsageError("torchrun: this torch is built without torch.distributed; run one process")
    ranks = _join(timeout)
    if rank() > 0:
        logging.disable(logging.INFO)  # rank 0 says it
    with ranks.alive(), ranks.watched(lambda: "before training began; start it again"):
        yield ranks
    dist.destroy_process_group()  # not after an error: the other ranks might never come to it
    gc.collect()  # a group that garbage still holds would abort the process where it exits


def _join(timeout: int) -> Ranks:
    try:
        store, number, count = next(dist.rendezvous("env://"))
        store.set(f"rank {number}", "")
        store.wait([f"rank {other}" for other in range(count)])  # to start takes longer than an exchange
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        limit = timedelta(seconds=timeout)
        dist.init_process_group(backend, store=store, rank=number, world_size=count, timeout=limit)
    except (RuntimeError, ValueError) as error:
        reason = shorten(str(error), 200)
        raise TrainingError(
            f"torchrun: the {os.environ['WORLD_SIZE']} processes did not find one another ({reason}); "
            "see whether all are started, and MASTER_ADDR and MASTER_PORT reach the first"
        ) from error
    return Ranks(dist.PrefixStore("sslfast", store), number, count)


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
def first_alone(ranks: Ranks) -> Iterator[None]:
    """Lets the first process of each machine through the block before the others, which find what it prepared.

    That may take longer than an exchange: a download, for example.
    """
    first = world_size() == 1 or dist.get_node_local_rank(fallback_rank=rank()) == 0
    if first:
        ranks.prepare()
    largest(0)  # a barrier: now all that prepare are counted
    if not first:
        ranks.wait()
    yield
    if first:
        ranks.ready()
