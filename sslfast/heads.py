"""The networks between the backbone's features and a loss."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import nn


def mlp(
    *widths: int,
    norm: bool = False,
    last_norm: Literal["none", "affine", "scale", "plain"] = "none",
    last_bias: bool = True,
) -> nn.Sequential:
    """Linear layers with ReLU between: mlp(512, 2048, 128) is 512 -> 2048 -> 128.

    A layer that batch normalisation follows has no bias.

    Args:
        widths: input, hidden and output widths; with two of them it is one linear layer.
        norm: batch normalisation before each ReLU.
        last_norm: batch normalisation of the output; scale: without shift, plain: without either.
        last_bias: the output layer has a bias where no batch normalisation follows.
    """
    layers: list[nn.Module] = []
    last = len(widths) - 2
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        normalised = norm if i < last else last_norm != "none"
        layers.append(nn.Linear(fan_in, fan_out, bias=not normalised and (i < last or last_bias)))
        if normalised:
            layers.append(nn.BatchNorm1d(fan_out, affine=i < last or last_norm != "plain"))
        if i < last:
            layers.append(nn.ReLU(inplace=True))
    if last_norm == "scale":
        layers[-1].bias.requires_grad_(False)  # stays 0
    return nn.Sequential(*layers)
