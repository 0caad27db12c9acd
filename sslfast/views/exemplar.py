"""The transformations of Exemplar-CNN (Dosovitskiy et al. 2016, arXiv:1406.6909, section 3.1).

Each image is a surrogate class of its own, and these make its members. The paper gives the ranges. How they are
sampled is ours: factors and powers log-uniformly, so that up and down are alike, the rest uniformly.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.random.key import Key, Stream
from sslfast.views.color_spaces import mix
from sslfast.views.hsv import hsv_from_rgb, rgb_from_hsv
from sslfast.views.tiles import side_of

TRANSLATION = 0.2  # of the side, each way
SCALE = (0.7, 1.4)
ROTATION = 20.0  # degrees, either way
COMPONENT_FACTOR = (0.5, 2.0)
POWER = (0.25, 4.0)
FACTOR = (0.7, 1.4)
ADDED = 0.1  # to hue (in turns), saturation and value, either way

MEAN = (0.485, 0.456, 0.406)
# Unit directions of the principal components of ImageNet's colors (Krizhevsky et al. 2012, section 4.1): light,
# blue against yellow, green against magenta.
COMPONENTS = (
    (-0.5675, -0.5808, -0.5836),
    (0.7192, -0.0045, -0.6948),
    (0.4009, -0.8140, 0.4203),
)


def surrogate(rgb: Tensor, key: Key) -> Tensor:
    """Translates, scales and rotates each image, and changes its contrast and color.

    Translation by up to 0.2 of the side, scale 0.7 to 1.4, rotation by up to 20 degrees; contrast along each
    principal component of the colors, 0.5 to 2; saturation and value each to a power of 0.25 to 4, times 0.7 to
    1.4, plus -0.1 to 0.1; hue plus -0.1 to 0.1 turns. The paper's patches have surroundings to move into; here the
    image is mirrored at its borders: ours.

    Args:
        rgb: float32 (B, 3, S, S) in [0, 1]: of `to_rgb`.
        key: of the B samples; another member of the class: another key.view.

    Returns:
        float32 (B, 3, S, S) in [0, 1], channels_last.

    Raises:
        ValueError: images that are not square, or not of three channels.
    """
    return transformed(rgb, sample_surrogate(key))


def sample_surrogate(key: Key) -> Tensor:
    """Samples the draws of `surrogate` for the B samples of a key: float32 (B, 14) in [0, 1)."""
    return torch.cat((key.uniform(Stream.GEOMETRY, 4), key.uniform(Stream.COLOR, 10)), dim=1).float()


def transformed(rgb: Tensor, draws: Tensor) -> Tensor:
    """Applies `surrogate` by given draws, each pixel by itself, so that torch.compile can fuse it.

    Args:
        rgb: float32 (B, 3, S, S) in [0, 1].
        draws: float32 (B, 14) in [0, 1), of `sample_surrogate`.

    Returns:
        float32 (B, 3, S, S) in [0, 1], channels_last.

    Raises:
        ValueError: images that are not square, or not of three channels.
    """
    side_of("surrogate", rgb)
    if rgb.shape[1] != 3:
        raise ValueError(f"surrogate: expected images of 3 channels, red, green, blue, got {tuple(rgb.shape)}")
    geometry, components, curves = draws.split((4, 3, 7), dim=1)
    x = _component_contrast(_moved(rgb, geometry), components)
    return _saturation_value_hue(x, curves).contiguous(memory_format=torch.channels_last)


def _moved(x: Tensor, draws: Tensor) -> Tensor:
    right, down, scale, angle = draws.unbind(1)
    scale = _log_between(scale, SCALE)
    angle = _around(angle, math.radians(ROTATION))
    cos, sin = angle.cos() / scale, angle.sin() / scale
    # In affine_grid's units the image's side is 2. The map leads from places in the result to places in the image.
    shift_x, shift_y = _around(right, 2 * TRANSLATION), _around(down, 2 * TRANSLATION)
    theta = torch.stack((cos, -sin, shift_x, sin, cos, shift_y), dim=1).view(-1, 2, 3)
    with torch.autocast(x.device.type, enabled=False):  # which would compute places in bf16, off by pixels
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _component_contrast(x: Tensor, draws: Tensor) -> Tensor:
    """Scales the contrast along each component e: x + sum of (factor - 1) (e . (x - mean)) e."""
    factors = _log_between(draws, COMPONENT_FACTOR).view(-1, 3, 1, 1)
    centered = torch.stack([channel - m for channel, m in zip(x.unbind(1), MEAN, strict=True)], dim=1)
    along = mix(centered, COMPONENTS) * (factors - 1)
    return (x + mix(along, list(zip(*COMPONENTS, strict=True)))).clamp(0, 1)


def _saturation_value_hue(x: Tensor, draws: Tensor) -> Tensor:
    s_power, s_factor, s_added, v_power, v_factor, v_added, hue_added = draws.T[:, :, None, None]
    hue, saturation, value = hsv_from_rgb(x)
    saturation = _curve(saturation, s_power, s_factor, s_added)
    value = _curve(value, v_power, v_factor, v_added)
    return rgb_from_hsv(hue + _around(hue_added, ADDED), saturation, value)


def _curve(x: Tensor, power: Tensor, factor: Tensor, added: Tensor) -> Tensor:
    raised = x ** _log_between(power, POWER) * _log_between(factor, FACTOR)
    return (raised + _around(added, ADDED)).clamp(0, 1)


def _log_between(u: Tensor, bounds: tuple[float, float]) -> Tensor:
    low, high = (math.log(bound) for bound in bounds)
    return (low + (high - low) * u).exp()


def _around(u: Tensor, most: float) -> Tensor:
    return (2 * u - 1) * most
