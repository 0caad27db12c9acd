"""Hue, saturation, value (hexcone)."""

from __future__ import annotations

from torch import Tensor

from sslfast.kernels.view_augment import hexcone_from_rgb, rgb_from_hexcone


def hsv_from_rgb(rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Converts RGB (B, 3, H, W) in [0, 1] to hue in turns, saturation, value, (B, H, W); gray has the hue 0."""
    sixths, chroma, value = hexcone_from_rgb(rgb)
    return (sixths / 6).remainder(1), chroma / value.clamp(min=1e-12), value


def rgb_from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Computes the inverse of `hsv_from_rgb`, for any hue."""
    return rgb_from_hexcone(6 * hue, value * saturation, value)
