"""Color spaces, and CMC's split of a view by them (Tian, Krishnan, Isola 2020, arXiv:1906.05849).

Lab and YDbDr are those of scikit-image, rgb2lab and rgb2ydbdr. Mixes of channels are written out as sums: a matrix
would have to be sent to the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

Mix = Sequence[Sequence[float]]  # a row of weights for each channel that comes out

# Linear sRGB to CIE XYZ (IEC 61966-2-1), and the XYZ of its white, D65.
WHITE = (0.95047, 1.0, 1.08883)
TO_XYZ: Mix = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
TO_YDBDR: Mix = ((0.299, 0.587, 0.114), (-0.45, -0.883, 1.333), (-1.333, 1.116, 0.217))
FROM_XYZ: Mix = np.linalg.inv(TO_XYZ).tolist()
FROM_YDBDR: Mix = np.linalg.inv(TO_YDBDR).tolist()
# Least and greatest value of each channel over all of sRGB.
LAB_RANGE = ((0.0, 100.0), (-86.183, 98.233), (-107.857, 94.478))
YDBDR_RANGE = ((0.0, 1.0), (-1.333, 1.333), (-1.333, 1.333))


def to_rgb(views: Tensor, mean: Iterable[float | Tensor], std: Iterable[float | Tensor]) -> Tensor:
    """Undoes a view's normalization.

    Args:
        views: (B, 3, H, W), normalized.
        mean: of red, green, blue over [0, 1]; data.mean.
        std: standard deviation of the same; data.std. Both may be tensors (3,), with the views.

    Returns:
        float32 (B, 3, H, W) in [0, 1].
    """
    channels = zip(views.float().unbind(1), mean, std, strict=True)
    return torch.stack([channel * s + m for channel, m, s in channels], dim=1).clamp_(0, 1)


def from_rgb(rgb: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Normalizes a view, (B, 3, H, W), as loaders do: the inverse of `to_rgb`."""
    channels = zip(rgb.unbind(1), mean, std, strict=True)
    return torch.stack([(channel - m) / s for channel, m, s in channels], dim=1)


def split_lab(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Splits RGB into CMC's two views by luminance and chrominance (section 4.1): L, and ab.

    Args:
        rgb: float32 (B, 3, H, W) in [0, 1]: of `to_rgb`.

    Returns:
        (L (B, 1, H, W), ab (B, 2, H, W)), each channel brought from its range to [-1, 1], as in the authors' code.
    """
    return _split(lab_from_rgb(rgb), LAB_RANGE)


def split_ydbdr(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Splits RGB into CMC's two views by YDbDr, which the paper finds better than Lab: Y, and DbDr.

    As `split_lab`; that each channel is brought to [-1, 1] is ours here.
    """
    return _split(ydbdr_from_rgb(rgb), YDBDR_RANGE)


def lab_from_rgb(rgb: Tensor) -> Tensor:
    """Converts sRGB (B, 3, H, W) in [0, 1] to CIE L*a*b* under D65, of the same shape."""
    linear = torch.where(rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = mix(linear, [[w / white for w in row] for row, white in zip(TO_XYZ, WHITE, strict=True)])
    x, y, z = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=1)


def rgb_from_lab(lab: Tensor) -> Tensor:
    """Computes the inverse of `lab_from_rgb`; colors outside of sRGB are clamped."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    f = torch.stack((y + a / 500, y, y - b / 200), dim=1)
    xyz = torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    linear = mix(xyz, [[w * white for w, white in zip(row, WHITE, strict=True)] for row in FROM_XYZ])
    rgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055, linear * 12.92)
    return rgb.clamp_(0, 1)


def ydbdr_from_rgb(rgb: Tensor) -> Tensor:
    """Converts RGB (B, 3, H, W) in [0, 1] to YDbDr, of the same shape."""
    return mix(rgb, TO_YDBDR)


def rgb_from_ydbdr(ydbdr: Tensor) -> Tensor:
    """Computes the inverse of `ydbdr_from_rgb`."""
    return mix(ydbdr, FROM_YDBDR)


def mix(x: Tensor, rows: Mix) -> Tensor:
    """Multiplies the channels of x (B, 3, H, W) by a 3 x 3 matrix."""
    c0, c1, c2 = x.unbind(1)
    return torch.stack([c0 * w0 + c1 * w1 + c2 * w2 for w0, w1, w2 in rows], dim=1)


def _split(x: Tensor, ranges: Sequence[tuple[float, float]]) -> tuple[Tensor, Tensor]:
    first, *others = (
        (channel - (low + high) / 2) * (2 / (high - low))
        for channel, (low, high) in zip(x.unbind(1), ranges, strict=True)
    )
    return first[:, None], torch.stack(others, dim=1).contiguous(memory_format=torch.channels_last)
