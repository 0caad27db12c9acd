"""The optimizer of a recipe, and its groups of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from sslfast.config import OptimConfig
from sslfast.kernels.optimizers import FusedAdamW, FusedLARS, FusedOptimizer, FusedSGD
from sslfast.optim.schedules import scaled_lr


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimConfig, constant_lr: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Groups the trained parameters for an optimizer.

    Parameters of at most one dimension are the biases and the scales and shifts of normalization layers. With
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
) -> FusedOptimizer:
    """Builds the optimizer that a recipe's `optim` section describes.

    Args:
        named_parameters, config, constant_lr: as of `parameter_groups`.
        batch_size: images a step over all ranks, for `scaled_lr`.
    """
    groups, lr = parameter_groups(named_parameters, config, constant_lr), scaled_lr(config, batch_size)
    match config.name:
        case "sgd":
            return FusedSGD(groups, lr, momentum=config.momentum)
        case "lars":
            return FusedLARS(groups, lr, momentum=config.momentum, trust_coefficient=config.trust_coefficient)
        case "adamw":
            return FusedAdamW(groups, lr, betas=config.betas)
