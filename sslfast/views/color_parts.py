"""Pictures of the parts of a view's colors that CMC's encoders see."""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast.views import color_spaces as spaces

# From RGB, to RGB, and the values of the channels that a picture does not show.
SPACES = {
    "lab": (spaces.lab_from_rgb, spaces.rgb_from_lab, (65.0, 0.0, 0.0)),
    "ydbdr": (spaces.ydbdr_from_rgb, spaces.rgb_from_ydbdr, (0.5, 0.0, 0.0)),
}


def color_parts(rgb: Tensor, colors: str, channels: tuple[int, ...]) -> Tensor:
    """Makes pictures of each part of the colors: luminance as gray, chrominance at a brightness of its own.

    Args:
        rgb: float32 (B, 3, H, W) in [0, 1].
        colors: a key of SPACES.
        channels: the number of its three channels that belong to each part.

    Returns:
        RGB in [0, 1], (B, len(channels), 3, H, W).
    """
    from_rgb, to_rgb, neutral = SPACES[colors]
    blank = rgb.new_tensor(neutral)[:, None, None].expand_as(rgb)
    pictures = []
    for shown in torch.arange(3, device=rgb.device).split(channels):
        part = blank.clone()
        part[:, shown] = from_rgb(rgb)[:, shown]
        pictures.append(to_rgb(part).clamp(0, 1))
    return torch.stack(pictures, dim=1)
