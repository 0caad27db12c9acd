"""Augmentations of a batch on its device, each sample with its own draw, in torchvision's arithmetic.

Each operation equals the one of `torchvision.transforms.v2.functional` on float images in [0, 1], given the same
parameters. The draws come from the host (`draws.py`), so which samples an operation touches is known there and
nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.data.draws import ViewDraws, blur_window

Operation = Callable[[Tensor, Tensor], Tensor]  # (images (B, 3, H, W), parameter (B, 1, 1, 1)) -> images


@torch.no_grad()
def crop_resize(images: Tensor, boxes: NDArray[np.int64], size: int, flip: NDArray[np.bool_]) -> Tensor:
    """Crop each image by its own box, resize to (size, size), mirror some.

    Resizing is bilinear with antialiasing, as torchvision's `resize(antialias=True)`. It is separable, hence two
    products with interpolation matrices, rows @ image @ columns^T; the mirror reverses the columns' matrix.

    Args:
        images: uint8 or float (B, 3, H, W), any strides.
        boxes: (B, 4): top, left, height, width, in pixels.
        size: side of the views, in pixels.
        flip: (B,) mirror left-right.

    Returns:
        float32 (B, 3, size, size), in the scale of the input, not rounded.
    """
    b, c, h, w = images.shape
    top, left, height, width = to_device(boxes.T.astype(np.float32), images.device)
    rows = _interpolation(top, height, h, size)
    columns = _interpolation(left, width, w, size)
    columns = torch.where(to_device(flip, images.device)[:, None, None], columns.flip(1), columns)
    # With the channels between rows and columns, [B, H, C, W], both products are plain batched ones.
    x = images.permute(0, 2, 1, 3).to(torch.float32, memory_format=torch.contiguous_format)
    x = torch.bmm(x.view(b, h * c, w), columns.mT)
    return torch.bmm(rows, x.view(b, h, c * size)).view(b, size, c, size).permute(0, 2, 1, 3)


@torch.no_grad()
def finish(crops: Tensor, draws: ViewDraws, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Colour jitter, grayscale, Gaussian blur and normalisation: what follows the crop.

    Args:
        crops: (B, 3, S, S), uint8 or float in [0, 255], any strides.
        draws: of the same B samples; boxes and flips are not looked at.
        mean: of red, green, blue over [0, 1].
        std: standard deviation of the same.

    Returns:
        float32 (B, 3, S, S), channels_last.
    """
    x = _unit(crops)
    operations: list[tuple[Operation, NDArray[np.float32]]] = [  # in the order of draws.BRIGHTNESS, CONTRAST, ...
        (adjust_brightness, draws.brightness),
        (adjust_contrast, draws.contrast),
        (adjust_saturation, draws.saturation),
        (adjust_hue, draws.hue),
    ]
    for step in draws.order.T:
        for number, (operation, parameter) in enumerate(operations):
            _apply(operation, x, draws.jitter & (step == number), parameter)
    _apply(adjust_saturation, x, draws.grayscale, np.zeros_like(draws.saturation))
    _apply(gaussian_blur, x, draws.blur_sigma > 0, draws.blur_sigma)
    _apply(solarize, x, draws.solarize, np.full_like(draws.hue, 128 / 255))
    return _normalize_(x, mean, std)


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """What `finish` does to views without any of their augmentations; the same arguments and result."""
    return _normalize_(_unit(images), mean, std)


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """clamp(factor * x)."""
    return (x * factor).clamp_(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """clamp(mean + factor * (x - mean)), mean: the image's mean gray."""
    mean = _gray(x).mean(dim=(2, 3), keepdim=True)
    return (x * factor).add_(mean * (1 - factor)).clamp_(0, 1)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """clamp(gray + factor * (x - gray)); a factor of 0 is grayscale."""
    return (x * factor).add_(_gray(x) * (1 - factor)).clamp_(0, 1)


def adjust_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Rotate the hue by `shift` turns in HSV (hexcone), value and saturation kept.

    With value v, chroma = v - min and the hue h in sixths of a turn, a channel is
    v - chroma * clamp(min(k, 4 - k), 0, 1), k = (n + h) mod 6, n = 5, 3, 1 for red, green, blue.
    """
    red, green, blue = x.unbind(1)
    value = x.amax(1)
    chroma = value - x.amin(1)
    hue = torch.where(
        value == red,
        green - blue,
        torch.where(value == green, (blue - red).add_(chroma, alpha=2), (red - green).add_(chroma, alpha=4)),
    )
    hue = hue.div_(chroma.clamp(min=1e-12)).add_(shift[:, 0] * 6)  # where chroma is 0 the hue does not matter
    offset = torch.arange(5, 0, -2, device=x.device).view(3, 1, 1)  # 5, 3, 1
    k = (hue[:, None] + offset).remainder_(6)
    return torch.addcmul(value[:, None], torch.minimum(k, 4 - k).clamp_(0, 1), chroma[:, None], value=-1)


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur with a window of `blur_window(S)` pixels and reflected borders, as M @ x @ M^T.

    Row i of M holds the normalised window g(j - i), and, folded back into the image, what of it lies outside:
    position -j is j, position 2(S-1) - j is j.
    """
    size = x.shape[-1]
    radius = blur_window(size) // 2
    window = torch.arange(-radius, radius + 1, device=x.device)
    total = torch.exp(-0.5 * (window / sigma).square()).sum(dim=3, keepdim=True)

    def g(distance: Tensor) -> Tensor:
        return torch.where(distance.abs() <= radius, torch.exp(-0.5 * (distance / sigma).square()), 0) / total

    i = torch.arange(size, device=x.device)[:, None]
    j = torch.arange(size, device=x.device)
    matrix = g(j - i) + g(-j - i) * (j > 0) + g(2 * (size - 1) - j - i) * (j < size - 1)  # [B, 1, S, S]
    return matrix @ x @ matrix.mT


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """1 - x where x is not below the threshold."""
    return torch.where(x < threshold, x, 1 - x)


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy to the device without waiting for it."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _unit(images: Tensor) -> Tensor:
    """A float32 copy in [0, 1], planar in memory."""
    return images.to(torch.float32, memory_format=torch.contiguous_format, copy=True).div_(255)


def _normalize_(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    center, spread = to_device(np.array([mean, std], dtype=np.float32), x.device).view(2, 3, 1, 1)
    return x.sub_(center).div_(spread).contiguous(memory_format=torch.channels_last)


def _gray(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W): ITU-R 601 luma, with torchvision's digits."""
    red, green, blue = x.split(1, dim=1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def _apply(operation: Operation, x: Tensor, chosen: NDArray[np.bool_], parameter: NDArray[np.float32]) -> None:
    """Replace the chosen samples of x by the operation's result, with their own parameters."""
    (samples,) = chosen.nonzero()
    if len(samples):
        index = to_device(samples, x.device)
        x.index_copy_(0, index, operation(x[index], to_device(parameter[samples], x.device).view(-1, 1, 1, 1)))


def _interpolation(start: Tensor, extent: Tensor, length: int, size: int) -> Tensor:
    """Matrices of antialiased bilinear interpolation along one axis.

    Output pixel i is centred at start + (i + 1/2) * scale, scale = extent / size; its weights are a triangle about
    that, of half-width max(scale, 1), cut off where the crop ends and normalised.

    Args:
        start: (B,) first pixel of the crop.
        extent: (B,) pixels of the crop.
        length: pixels of the image.
        size: pixels of the output.

    Returns:
        float32 (B, size, length).
    """
    start, extent = start[:, None, None], extent[:, None, None]
    i = torch.arange(size, device=start.device)[:, None]
    pixel = torch.arange(length, device=start.device)
    scale = extent / size
    distance = (pixel + 0.5 - start) - (i + 0.5) * scale
    weight = (1 - distance.abs() / scale.clamp(min=1)).clamp_(min=0)
    weight *= (pixel >= start) & (pixel < start + extent)
    return weight / weight.sum(dim=2, keepdim=True)
