"""An encoder for each part of a color space, as CMC has them (Tian, Krishnan, Isola 2020, arXiv:1906.05849)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from sslfast.encoders.base import Encoder
from sslfast.views import split_lab, split_ydbdr, to_rgb

Split = Callable[[Tensor], tuple[Tensor, Tensor]]
SPLITS: dict[str, Split] = {"lab": split_lab, "ydbdr": split_ydbdr}


def channels_of(parts: int) -> tuple[int, ...]:
    """Gives the number of channels of each part: of 2, luminance and chrominance; of 3, one channel each."""
    return (1, 2) if parts == 2 else (1, 1, 1)


class ColorEncoder(Encoder):
    """An encoder of RGB views (B, 3, S, S) by the features of the parts of their colors, side by side.

    Every use of the encoder but CMC's loss takes it as one encoder of RGB views. The mean and standard deviation
    that views were normalized by are kept with the weights.

    Args:
        parts: an encoder of each part, of `channels_of(len(parts))` channels.
        colors: a key of SPLITS.
        mean: of the views' channels over [0, 1]; data.mean.
        std: their standard deviation; data.std.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        parts: Sequence[Encoder],
        colors: Literal["lab", "ydbdr"],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.split = SPLITS[colors]
        self.feature_dims = [part.feature_dim for part in parts]
        self.feature_dim = sum(self.feature_dims)
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x: Tensor, dense: bool = False) -> Tensor:
        luminance, chrominance = self.split(to_rgb(x, self.mean, self.std))
        rest = (chrominance,) if len(self.parts) == 2 else chrominance.split(1, dim=1)
        views = zip(self.parts, (luminance, *rest), strict=True)
        return torch.cat([part(view, dense=dense) for part, view in views], dim=1)
