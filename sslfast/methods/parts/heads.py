"""The networks between the backbone's features and a loss."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn


def relu() -> nn.ReLU:
    return nn.ReLU(inplace=True)


def mlp(
    *widths: int,
    norm: bool | Callable[[int], nn.Module] = False,
    last_norm: Literal["none", "affine", "scale", "plain"] = "none",
    last_bias: bool = True,
    activation: Callable[[], nn.Module] = relu,
) -> nn.Sequential:
    """Stacks linear layers with an activation between them: mlp(512, 2048, 128) is 512 -> 2048 -> 128.

    A layer that batch normalization follows has no bias.

    Args:
        widths: input, hidden and output widths; with two of them it is one linear layer.
        norm: batch normalization before each activation; or a function that makes the layer for a width.
        last_norm: batch normalization of the output; scale: without shift, plain: without either.
        last_bias: the output layer has a bias where no batch normalization follows.
        activation: makes an activation.
    """
    layers: list[nn.Module] = []
    last = len(widths) - 2
    hidden_norm = nn.BatchNorm1d if norm is True else norm
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        normalized = bool(norm) if i < last else last_norm != "none"
        layers.append(nn.Linear(fan_in, fan_out, bias=not normalized and (i < last or last_bias)))
        if i == last and normalized:
            layers.append(nn.BatchNorm1d(fan_out, affine=last_norm != "plain"))
        if i < last:
            layers.extend([hidden_norm(fan_out)] if hidden_norm else [])
            layers.append(activation())
    if last_norm == "scale":
        layers[-1].bias.requires_grad_(False)  # stays 0
    return nn.Sequential(*layers)


class UnitLinear(nn.Linear):
    """Inner products with trained vectors that are normalized: a linear layer without bias, its rows of length 1.

    It is weight normalization with a constant scale of 1 (Salimans and Kingma 2016, arXiv:1602.07868).

    Args:
        in_features: the vectors' width.
        out_features: how many there are.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Tensor, *, frozen: bool = False) -> Tensor:
        """Maps (N, in_features) -> (N, out_features); `frozen`: without gradient to the vectors."""
        weight = self.weight.detach() if frozen else self.weight
        return F.linear(x, F.normalize(weight, dim=1))
