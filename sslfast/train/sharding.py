"""Weights in parts: each rank holds its own of every tensor, which PyTorch's FSDP2 brings together to compute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from sslfast.config import Recipe
from sslfast.distributed import gather, rank, world_size
from sslfast.encoders import Encoder
from sslfast.encoders.base import blocks_of
from sslfast.methods import Method
from sslfast.run.backbone import random_encoder


class Shards:
    """A method whose parameters are dealt out over the ranks, and how a step goes with them: see `Replicas`.

    A parameter is cut along its first dimension (`torch.distributed.fsdp.fully_shard`). The blocks of an encoder
    come together one at a time, where their forward and backward passes need them; what lies outside of blocks,
    heads among it, does so for all of a step. Moving averages are cut alike, so that optimizer and average work on
    a rank's own parts, and nothing of theirs is sent. Buffers, such as queues, are whole on every rank.

    Args:
        method: on its device; its parameters are replaced.
    """

    def __init__(self, method: Method) -> None:
        self.method = self.loss = method
        for parameter in method.parameters():
            parameter.data = parameter.data.contiguous()  # as FSDP2 needs them: no channels_last
        mesh = init_device_mesh(next(method.parameters()).device.type, (world_size(),))
        for block in blocks_of(method):
            fully_shard(block, mesh=mesh)
        fully_shard(method, mesh=mesh)
        with torch.no_grad():  # then `to_local` is the memory itself
            self.own = {p: nn.Parameter(p.to_local(), p.requires_grad) for p in self._parameters().values()}
        self.whole = {own: parameter for parameter, own in self.own.items()}

    def _parameters(self) -> dict[str, Any]:
        return dict(self.method.named_parameters())  # DTensors

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, self.own[parameter]) for name, parameter in self._parameters().items())

    def local(self, tensors: Iterable[Tensor]) -> list[Tensor]:
        return [self.own.get(tensor, tensor) for tensor in tensors]

    def kept_apart(self) -> AbstractContextManager[None]:
        """Keeps nothing apart: gradients kept apart would be whole ones, on every rank, until they are sent."""
        return nullcontext()

    def take_gradients(self) -> None:
        for parameter, own in self.own.items():
            own.grad = None if parameter.grad is None else parameter.grad.to_local()

    def total_norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """Computes the norm of the gradients of all ranks; where one has no finite one, it is so on all."""
        return torch.linalg.vector_norm(gather(get_total_norm(gradients)[None]))

    def agree(self) -> None:
        """Does nothing: methods that change weights between steps are refused."""

    def encoder(self, recipe: Recipe) -> Encoder:
        encoder = random_encoder(recipe.encoder, recipe.data, recipe.train.seed)
        encoder.load_state_dict(
            get_model_state_dict(self.method.encoder, options=StateDictOptions(full_state_dict=True))
        )
        device = next(self.method.parameters()).device
        return encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def state_dicts(self, optimizer: Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        of_optimizer = optimizer.state_dict()
        parameters = self.parameters_of(optimizer)
        states = {
            number: {name: _whole(value, parameters[number]) for name, value in state.items()}
            for number, state in of_optimizer["state"].items()
        }
        return get_model_state_dict(self.method, options=options), {**of_optimizer, "state": states}

    def load_state_dicts(
        self, of_method: dict[str, Any], optimizer: Optimizer, of_optimizer: dict[str, Any]
    ) -> None:
        set_model_state_dict(self.method, of_method, options=StateDictOptions(full_state_dict=True))
        parameters = self.parameters_of(optimizer)
        states = {
            number: {name: _part(value, parameters[number]) for name, value in state.items()}
            for number, state in of_optimizer["state"].items()
        }
        optimizer.load_state_dict({**of_optimizer, "state": states})

    def parameters_of(self, optimizer: Optimizer) -> list[Any]:
        return [self.whole[own] for group in optimizer.param_groups for own in group["params"]]


def _whole(value: Any, parameter: DTensor) -> Any:
    """Gathers a parameter's state of all ranks, on rank 0 and its CPU, of this rank's part; a number stays."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    mesh, placements = parameter.device_mesh, parameter.placements
    part = DTensor.from_local(value, mesh, placements, shape=parameter.shape, stride=parameter.stride())
    whole = part.full_tensor()
    return whole.cpu() if rank() == 0 else None


def _part(value: Any, parameter: DTensor) -> Any:
    """Takes this rank's part of a parameter's state; a number stays."""
    if not isinstance(value, Tensor) or value.ndim == 0:
        return value
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None).to_local()
