"""The blocks of encoders that are compiled one by one, and that compute their activations twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from sslfast.config import EncoderConfig, TrainConfig
from sslfast.encoders.base import blocks_of
from sslfast.errors import UsageError

# Graphs of one function that torch.compile makes; what needs further ones runs as it is, slower. torch's own limit
# is 8: the blocks of one ResNet. Those of its moving average, of small crops and of earlier runs come on top.
GRAPHS = 64


def compile_networks(networks: Iterable[nn.Module], config: TrainConfig) -> None:
    """Compiles networks whole, or block by block where something is done between a block and the next.

    Small crops or patches get as fast a graph as the first shape's.
    """
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, GRAPHS)
    for network in networks:
        blocks = blocks_of(network) if config.checkpointing or config.parallel == "fsdp" else []
        for block in blocks:
            block.forward = torch.compile(block.forward, dynamic=False)
        if not blocks:
            network.compile(dynamic=False)


def checkpoint_blocks(encoder: nn.Module, config: EncoderConfig) -> None:
    """Lets each block of an encoder keep its input alone, and compute again what its backward pass needs.

    This is activation checkpointing (Chen, Xu, Zhang, Guestrin 2016, arXiv:1604.06174). The gradients are the same
    to the bit where the operations repeat themselves.

    Raises:
        UsageError: it has no blocks that are known here.
    """
    blocks = blocks_of(encoder)
    if not blocks:
        raise UsageError(
            f"train.checkpointing=true: encoder.name={config.name} has no blocks that are known here; expected a "
            "ResNet or a ViT; set train.checkpointing=false"
        )
    for block in blocks:
        block.forward = partial(_checkpointed, block, block.forward)


def _checkpointed(block: nn.Module, forward: Callable[..., Any], *args: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args)
    return checkpoint(
        forward, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), _buffers_kept(block))
    )


@contextmanager
def _buffers_kept(module: nn.Module) -> Iterator[None]:
    """Leaves a module's buffers as they were: running statistics move once a step, in the first pass."""
    buffers = list(module.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.data.copy_(value)  # autograd, which has saved them and reads none, is not to mind
