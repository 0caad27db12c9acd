"""The networks between the backbone's features and a loss."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def mlp(*widths: int, norm: bool = False) -> nn.Sequential:
    """Linear layers with ReLU between: mlp(512, 2048, 128) is 512 -> 2048 -> 128.

    Args:
        widths: input, hidden and output widths; with two of them it is one linear layer.
        norm: batch normalisation before each ReLU.
    """
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        if i:
            layers += [nn.BatchNorm1d(fan_in), nn.ReLU(inplace=True)] if norm else [nn.ReLU(inplace=True)]
        layers.append(nn.Linear(fan_in, fan_out, bias=not norm or i == len(widths) - 2))
    return nn.Sequential(*layers)
