"""Schedules of the learning rate and of moving averages, as pure functions of the step."""

from __future__ import annotations

import math
from typing import Literal

from torch.optim import Optimizer

from sslfast.config import OptimConfig


def scaled_lr(config: OptimConfig, batch_size: int) -> float:
    """Computes the peak learning rate: linear in the batch size (Goyal et al. 2017, arXiv:1706.02677)."""
    return config.lr * batch_size / 256


def learning_rate(step: int, total_steps: int, warmup_steps: int, config: OptimConfig, peak: float) -> float:
    """Computes the rate of a step: linear warm-up from 0, then half a cosine or steps.

    Args:
        step: counted from 0.
        total_steps: steps of the whole training.
        warmup_steps: the rate is `peak` at this step.
        config: the schedule.
        peak: the rate after the warm-up.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    if config.schedule == "steps":
        return peak * config.step_factor ** sum(step >= share * total_steps for share in config.step_at)
    return cosine(step - warmup_steps, total_steps - warmup_steps, peak, config.final_lr * peak)


def cosine(step: int, total_steps: int, first: float, last: float) -> float:
    """Goes by half a cosine from `first` at step 0 to `last` at `total_steps` (Loshchilov and Hutter 2017,
    arXiv:1608.03983).
    """
    return last + (first - last) * (1 + math.cos(math.pi * step / total_steps)) / 2


def set_learning_rate(optimizer: Optimizer, lr: float, peak: float) -> None:
    """Gives each group its rate of a step; `lr` and `peak` of this step and of the whole training."""
    for group in optimizer.param_groups:
        group["lr"] = (peak if group["constant_lr"] else lr) * group["lr_scale"]


def momentum_schedule(step: int, total_steps: int, base: float, kind: Literal["constant", "cosine"]) -> float:
    """Computes a moving average's momentum: constant, or a cosine from `base` to 1 (BYOL, Grill et al. 2020)."""
    return base if kind == "constant" else cosine(step, total_steps, base, 1.0)
