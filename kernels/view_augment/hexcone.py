"""Hue, chroma and value: the arithmetic of the hexcone, from which HSV follows."""

import torch
from torch import Tensor


def hexcone_from_rgb(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Converts RGB (B, 3, H, W) to hue in sixths of a turn, from -1 to 5, chroma max - min and value max.

    Each is (B, H, W). The hue of gray is 0.
    """
    red, green, blue = rgb.unbind(1)
    value = rgb.amax(1)
    chroma = value - rgb.amin(1)
    hue = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    return hue / chroma.clamp(min=1e-12), chroma, value


def rgb_from_hexcone(hue: Tensor, chroma: Tensor, value: Tensor) -> Tensor:
    """Inverts `hexcone_from_rgb`, for any hue.

    A channel is v - c clamp(min(k, 4 - k), 0, 1), k = (n + h) mod 6, n = 5, 3, 1 for red, green, blue.
    """
    channels = []
    for n in (5, 3, 1):
        k = (hue + n) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)
