"""The parts that CMC's encoders see of a view's colours, as pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast.views import color_spaces as spaces

# To the space, back, and what stands in a picture for the channels that it does not show.
SPACES = {
    "lab": (spaces.lab_from_rgb, spaces.rgb_from_lab, (65.0, 0.0, 0.0)),
    "ydbdr": (spaces.ydbdr_from_rgb, spaces.rgb_from_ydbdr, (0.5, 0.0, 0.0)),
}


def color_parts(rgb: Tensor, colors: str, channels: tuple[int, ...]) -> Tensor:
    """Pictures of each part of the colours: luminance as gray, chrominance at a brightness of its own.

    Args:
        rgb: float32 (B, 3, H, W) in [0, 1].
        colors: a key of SPACES.
        channels: how many of its three channels belong to each part.

    Returns:
        RGB in [0, 1], (B, len(channels), 3, H, W).
    """
    to_space, to_rgb, neutral = SPACES[colors]
    blank = rgb.new_tensor(neutral)[:, None, None].expand_as(rgb)
    pictures = []
    for own in torch.arange(3, device=rgb.device).split(channels):
        part = blank.clone()
        part[:, own] = to_space(rgb)[:, own]
        pictures.append(to_rgb(part).clamp(0, 1))
    return torch.stack(pictures, dim=1)
