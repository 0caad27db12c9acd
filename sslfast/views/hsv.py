"""Hue, saturation, value (hexcone)."""

from __future__ import annotations

import torch
from torch import Tensor


def hsv_from_rgb(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """RGB (B, 3, H, W) in [0, 1] to hue in turns, saturation, value, each (B, H, W); the hue of gray is 0."""
    red, green, blue = rgb.unbind(1)
    value = rgb.amax(1)
    chroma = value - rgb.amin(1)
    sixths = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    ) / chroma.clamp(min=1e-12)
    return (sixths / 6).remainder(1), chroma / value.clamp(min=1e-12), value


def rgb_from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The inverse of `hsv_from_rgb`, for any hue.

    A channel is v - v s clamp(min(k, 4 - k), 0, 1), k = (n + 6h) mod 6, n = 5, 3, 1 for red, green, blue.
    """
    channels = []
    for n in (5, 3, 1):
        k = (6 * hue + n).remainder(6)
        channels.append(value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)
