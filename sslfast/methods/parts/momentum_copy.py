"""A network that follows another as an exponential moving average."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sslfast import kernels as K

TargetNorm = Literal["own", "ema"]


class MomentumCopy(nn.Module):
    """A copy of a module without gradient that follows it as an exponential moving average.

        target = momentum * target + (1 - momentum) * source

    Args:
        source: what to follow; it is referred to, not registered as a part of this module.
        buffers: what `update` does with the copy's buffers. "own": nothing; in training mode its batch
            normalisation uses and tracks the batches it sees itself, as in the code published with MoCo
            and BYOL. "ema": moves the floating-point ones like the parameters and copies the others; the copy
            stays in evaluation mode, so that its batch normalisation uses these averages (EMAN: Cai et al.
            2021, arXiv:2101.08482).
    """

    def __init__(self, source: nn.Module, *, buffers: TargetNorm = "own") -> None:
        super().__init__()
        self.module = copy.deepcopy(source).requires_grad_(False)
        self.buffer_rule = buffers
        self._source = (source,)  # nn.Module registers modules that are attributes, but none in a tuple
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None  # the copy's tensors, the source's
        self.train(source.training)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def train(self, mode: bool = True) -> MomentumCopy:
        return super().train(mode and self.buffer_rule != "ema")

    @torch.no_grad()
    def update(self, momentum: float | Tensor, *, skip: Tensor | None = None) -> None:
        """Moves the copy towards its source.

        Args:
            momentum: in [0, 1]; a float or a 0-d tensor.
            skip: 0-d bool tensor; where true, no floating-point value changes.
        """
        if self._pairs is None:
            self._pairs = self._tensors(self.module), self._tensors(*self._source)
        if skip is not None:  # in fp64, so that a float keeps its value
            momentum = torch.where(skip, torch.ones_like(skip, dtype=torch.float64), momentum)
        K.ema_update_(*self._pairs, momentum)

    def _tensors(self, module: nn.Module) -> list[Tensor]:
        buffers = module.buffers() if self.buffer_rule == "ema" else ()
        return [*module.parameters(), *buffers]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MomentumCopy:
        self._pairs = None  # .to() and its like replace buffers
        return super()._apply(fn, recurse)
