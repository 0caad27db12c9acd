"""Optimizers, parameter groups, and schedules as pure functions of the step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.sgd import sgd

from sslfast.config import OptimConfig
from sslfast.optim.schedules import scaled_lr


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman, Ginsburg 2017, arXiv:1708.03888) on SGD with momentum.

    For each parameter w of an adapted group with gradient g and weight decay b:

        d = g + b w
        v = momentum * v + (trust_coefficient * |w| / |d|) * d
        w = w - lr * v

    The ratio is 1 where |w| or |d| is 0. The norm is taken of d, as in the code published with SimCLR, BYOL
    and Barlow Twins, where the paper divides by |g| + b |w|. The learning rate multiplies the momentum, as in
    torch's SGD and Barlow Twins' code, where the paper and SimCLR's code accumulate it in v; the two differ
    only while it changes. No Nesterov momentum. A group with `adapt=False` takes plain SGD steps.

    Norms stay on the device. Like torch's fused optimizers it leaves parameters and momentum untouched where
    its attribute `found_inf`, a 0-d fp32 tensor, is 1: see `sslfast.train.guard`.

    Args:
        params: parameters or groups of them; a group may set any of the options and `adapt` (default True).
        lr: learning rate.
        momentum: decay of v.
        weight_decay: b, an L2 penalty.
        trust_coefficient: eta in the paper.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, {**options, "trust_coefficient": trust_coefficient, "adapt": True})
        start_momentum(self)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update. Returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            directions = [p.grad for p in parameters]
            weight_decay = group["weight_decay"]
            if group["adapt"] and parameters:
                directions = _adapt(parameters, directions, weight_decay, group["trust_coefficient"])
                weight_decay = 0.0  # is in the directions
            sgd(
                parameters,
                directions,
                [self.state[p]["momentum_buffer"] for p in parameters],
                fused=True,
                found_inf=getattr(self, "found_inf", None),
                weight_decay=weight_decay,
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
        return loss


def _adapt(
    parameters: list[Tensor], gradients: list[Tensor], weight_decay: float, trust_coefficient: float
) -> list[Tensor]:
    """trust_coefficient * |w| / |d| * d with d = g + weight_decay * w, for each parameter w."""
    directions = torch._foreach_add(gradients, parameters, alpha=weight_decay)
    weight_norms = torch.stack(torch._foreach_norm(parameters))
    norms = torch.stack(torch._foreach_norm(directions))
    adapted = (weight_norms > 0) & (norms > 0)
    ratios = torch.where(adapted, trust_coefficient * weight_norms / norms, 1.0)
    torch._foreach_mul_(directions, ratios.unbind())
    return list(directions)


def start_momentum(optimizer: Optimizer) -> None:
    """Sets the momentum of every parameter to zero, from where the first step is what it would be without.

    torch's fused SGD otherwise allocates it in the first step and, where `found_inf` skips that one, goes on
    from uninitialised memory.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig, constant_lr: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The trained parameters in groups for an optimizer.

    Parameters of at most one dimension are the biases and the scales and shifts of normalisation layers. With
    `exclude_bias_and_norm` they are without weight decay and LARS's adaptation; with `bias_lr` they have a
    learning rate of their own.

    Args:
        named_parameters: as of `nn.Module.named_parameters`; those without requires_grad are left out.
        config: the settings.
        constant_lr: modules, by the beginning of their parameters' names, whose learning rate stays at its peak.
    """
    members: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    apart = config.exclude_bias_and_norm or config.bias_lr is not None
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            constant = any(name.startswith(f"{module}.") for module in constant_lr)
            members.setdefault((apart and parameter.ndim <= 1, constant), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": 0.0 if small and config.exclude_bias_and_norm else config.weight_decay,
            "adapt": not (small and config.exclude_bias_and_norm),
            "lr_scale": config.bias_lr / config.lr if small and config.bias_lr is not None else 1.0,
            "constant_lr": constant,
        }
        for (small, constant), parameters in members.items()
    ]


def build_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    config: OptimConfig,
    batch_size: int,
    constant_lr: Sequence[str] = (),
) -> Optimizer:
    """The optimizer that a recipe's `optim` section describes.

    Its momentum takes on each parameter's device and memory format, so build it when these are settled.

    Args:
        named_parameters, config, constant_lr: as of `parameter_groups`.
        batch_size: images a step over all ranks, for `scaled_lr`.
    """
    groups, lr = parameter_groups(named_parameters, config, constant_lr), scaled_lr(config, batch_size)
    match config.name:
        case "sgd":
            optimizer = SGD(groups, lr, momentum=config.momentum, fused=True)
            start_momentum(optimizer)
            return optimizer
        case "lars":
            return LARS(groups, lr, momentum=config.momentum, trust_coefficient=config.trust_coefficient)
        case "adamw":
            return AdamW(groups, lr, betas=config.betas, fused=True)
