"""A network that follows another as an exponential moving average, and the settings of such a network."""

from __future__ import annotations

import copy
from typing import Any, Literal, TypeVar, cast

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config.fields import STRICT, Probability
from sslfast.distributed.collectives import own_parts
from sslfast.optim.schedules import momentum_schedule

TargetNorm = Literal["own", "ema"]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(config=STRICT)
class MomentumCopyConfig:
    """The settings that every method with a momentum network has; some have other defaults."""

    name: str
    momentum: Probability = 0.99
    """Momentum of the target network's moving average."""
    momentum_schedule: Literal["constant", "cosine"] = "constant"
    """Course of the momentum; cosine: it rises to 1 by the end of training."""
    target_norm: TargetNorm = "own"
    """Statistics that the momentum network normalizes by: its own batches', or averages of the trained one's."""

    def momentum_at(self, step: int, total_steps: int) -> float:
        """Returns the momentum at a step, counted from 0, of the whole training's `total_steps`."""
        return momentum_schedule(step, total_steps, self.momentum, self.momentum_schedule)


class MomentumCopy(nn.Module):
    """A copy of a module without gradient that follows it as an exponential moving average.

        target = momentum * target + (1 - momentum) * source

    Args:
        source: what to follow; it is referred to, not registered as a part of this module.
        buffers: whether the copy's buffers follow too. "own": no; in training mode its batch
            normalization uses and tracks the batches it sees itself, as in the code published with MoCo
            and BYOL. "ema": the floating-point ones follow like the parameters, the others are copied; the copy
            stays in evaluation mode, so that its batch normalization uses these averages (EMAN: Cai et al.
            2021, arXiv:2101.08482).
    """

    def __init__(self, source: nn.Module, *, buffers: TargetNorm = "own") -> None:
        super().__init__()
        self.module = copy.deepcopy(source).requires_grad_(False)
        self.buffer_rule = buffers
        self._source = (source,)  # nn.Module registers modules that are attributes, but none in a tuple
        self.train(source.training)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def train(self, mode: bool = True) -> MomentumCopy:
        return super().train(mode and self.buffer_rule != "ema")

    @torch.no_grad()
    def update(self, momentum: float | Tensor, *, skip: Tensor | None = None) -> None:
        """Moves the copy towards its source, where no optimizer does it in its step.

        Args:
            momentum: in [0, 1]; a float or a 0-d tensor.
            skip: 0-d bool tensor; where true, no floating-point value changes.
        """
        if skip is not None:  # in fp64, so that a float keeps its value
            momentum = torch.where(skip, torch.ones_like(skip, dtype=torch.float64), momentum)
        targets, sources = map(own_parts, self.pairs())
        K.ema_update_(targets, sources, momentum)

    def pairs(self) -> tuple[list[Tensor], list[Tensor]]:
        """Lists the tensors of the copy that follow, and those of the source that they follow.

        Buffers are others after `.to()` and its like, which replace them.
        """
        targets, sources = self._tensors(self.module), self._tensors(*self._source)
        return targets, sources

    def follower_of(self, part: Network) -> Network | None:
        """Finds the part of the copy that follows a part of the source; None: it is none of the source's."""
        (source,) = self._source
        name = next((name for name, module in source.named_modules() if module is part), None)
        return None if name is None else cast(Network, self.module.get_submodule(name))

    def _tensors(self, module: nn.Module) -> list[Tensor]:
        buffers = module.buffers() if self.buffer_rule == "ema" else ()
        return [*module.parameters(), *buffers]
