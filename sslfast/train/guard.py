"""Skips a training step whose loss or gradient is not finite, without asking the device about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from sslfast import kernels as K

RUNNING_STATISTICS = ("running_mean", "running_var")


class FiniteGuard:
    """Undoes a bad step on the device: one whose loss or gradient holds a NaN or an infinity.

        guard.remember()
        loss, values, kept = method.loss(batch)
        loss.backward()
        skip = guard.decide(loss)
        optimizer.step()  # and with it the moving average
        method.after_step(kept, step, total_steps, skip)

    A forward pass moves the running statistics of normalization layers: `decide` puts them back (their count
    of batches, which nothing reads, runs on). The optimizer does nothing where its `found_inf` is 1, as those of
    `sslfast.kernels.optimizers` and torch's fused ones. What a method moves itself takes `skip`: see
    `sslfast.methods.parts.queue`. So a bad step leaves every weight, momentum and statistic as it was, a good one
    is computed as if there were no guard, and a checkpoint is good at any step.

    The host learns of bad steps when it reads the counters, where it logs.

    Args:
        module: all that is trained, on its device.
        optimizer: of its parameters.
        clip_norm: the norm that `decide` scales a larger gradient down to; None: it is not scaled.
        total_norm: gives the norm of all gradients as one vector, the same on every rank.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        clip_norm: float | None = None,
        total_norm: Callable[[Sequence[Tensor]], Tensor] = get_total_norm,
    ) -> None:
        self.optimizer, self.clip_norm, self.total_norm = optimizer, clip_norm, total_norm
        self.statistics = [b for name, b in module.named_buffers() if name.endswith(RUNNING_STATISTICS)]
        self.remembered = [b.clone() for b in self.statistics]
        device = optimizer.param_groups[0]["params"][0].device
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        self.total = torch.zeros((), dtype=torch.int64, device=device)

    def remember(self) -> None:
        """Takes note of the running statistics; to be called before the forward pass."""
        K.ema_update_(self.remembered, self.statistics, 0.0)

    def decide(self, loss: Tensor, scale: Tensor | None = None) -> Tensor:
        """Decides whether the step counts; to be called between the backward pass and the optimizer's step.

        Clips the gradient. In a step that does not count it puts the running statistics back, and tells the
        optimizer to change nothing.

        Args:
            loss: a scalar.
            scale: the factor by which the loss was multiplied for its gradient, which is divided by it again.
                While it is above 1 and the loss is finite, a gradient that is not shows that it is too large: such
                a step is skipped, and does not count as a bad one. None: there was none.

        Returns:
            A 0-d bool tensor on the device: this step is to be skipped.
        """
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = self.total_norm([p.grad for p in parameters if p.grad is not None])
        if self.clip_norm is not None:
            clip_grads_with_norm_(parameters, self.clip_norm, norm)
        loss_is_finite = torch.isfinite(loss.detach())
        skip = ~(loss_is_finite & torch.isfinite(norm))
        bad = skip if scale is None else skip & ~(loss_is_finite & (scale > 1))
        self.optimizer.found_inf = skip.float()  # type: ignore[attr-defined]

        # A momentum of 1 keeps a target bit for bit and one of 0 replaces it, even where it holds NaN.
        K.ema_update_(self.statistics, self.remembered, (~skip).float())
        self.total += bad
        self.in_a_row += 1
        self.in_a_row *= bad
        return skip

    def counts(self) -> tuple[int, int]:
        """Counts how many steps were bad, in all and in a row up to now; the host waits for the device once."""
        total, in_a_row = torch.stack([self.total, self.in_a_row]).tolist()
        return total, in_a_row

    def state_dict(self) -> dict[str, Any]:
        return {"in_a_row": self.in_a_row, "total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.in_a_row.copy_(state["in_a_row"])
        self.total.copy_(state["total"])
