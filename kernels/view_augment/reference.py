"""Augmented views in plain PyTorch: the specification of the op.

Each operation equals the one of `torchvision.transforms.v2.functional` on float images in [0, 1], given the same
parameters. Every sample has its own: x is (B, 3, H, W), a parameter (B, 1, 1, 1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sslfast.kernels.view_augment.draw import BRIGHTNESS, CONTRAST, HUE, Draw
from sslfast.kernels.view_augment.hexcone import hexcone_from_rgb, rgb_from_hexcone

SOLARIZE_FROM = 128 / 255


def blur_window(size: int) -> int:
    """Returns the side of the Gaussian blur's window: a tenth of the view's pixels (SimCLR), odd, at least 3."""
    return max(3, size // 10 | 1)


@torch.no_grad()
def view_augment(
    images: Tensor,
    draws: Tensor,
    rows: Tensor | None,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    crop: bool,
    dtype: torch.dtype,
) -> Tensor:
    """Makes views (B, 3, size, size), computed in the draws' dtype; NaN where a row or a box lies outside.

    Levels are scaled to [0, 1] by the highest of their dtype: 255, or 65535 of uint16. Gray images (B, H, W, 1)
    become RGB once they are cropped.
    """
    outside = is_outside(images, draws, rows, crop)
    images = images if rows is None else picked(images, rows)
    x = images.permute(0, 3, 1, 2).to(draws.dtype)
    parameters = draws[:, :, None, None, None].unbind(1)
    if crop:
        x = crop_resize(x, draws[:, : Draw.WIDTH + 1], size, draws[:, Draw.FLIP] != 0)
    x = (x / torch.iinfo(images.dtype).max).expand(-1, 3, -1, -1)
    jittered = color_jitter(x, *parameters[Draw.BRIGHTNESS : Draw.ORDER + 1])
    x = torch.where(parameters[Draw.JITTER] != 0, jittered, x)
    x = torch.where(parameters[Draw.GRAYSCALE] != 0, gray(x), x)
    sigma = parameters[Draw.SIGMA]
    x = torch.where(sigma > 0, gaussian_blur(x, sigma), x)
    x = torch.where((parameters[Draw.SOLARIZE] != 0) & (x >= SOLARIZE_FROM), 1 - x, x)
    x = normalize(x, mean, std).masked_fill(outside[:, None, None, None], torch.nan)
    return x.to(dtype, memory_format=torch.channels_last)


def picked(images: Tensor, rows: Tensor) -> Tensor:
    """Selects the images in these rows, (B, H, W, C); of a row that is of none, any."""
    rows = rows.clamp(0, max(len(images) - 1, 0))
    if images.dtype == torch.uint16:  # which not all devices can index
        return images.view(torch.int16)[rows].view(torch.uint16)
    return images[rows]


def is_outside(images: Tensor, draws: Tensor, rows: Tensor | None, crop: bool) -> Tensor:
    """Tells which samples' rows are of no image, or whose boxes do not lie in it: bool (B,). NaN lies nowhere."""
    count, height, width, _ = images.shape
    inside = torch.ones(len(draws), dtype=torch.bool, device=draws.device)
    if rows is not None:
        inside = (rows >= 0) & (rows < count)
    if crop:
        for start, extent, length in ((Draw.TOP, Draw.HEIGHT, height), (Draw.LEFT, Draw.WIDTH, width)):
            first, size = draws[:, start], draws[:, extent]
            inside = inside & (first >= 0) & (size > 0) & (first + size <= length)
    return ~inside


def view_augment_list(
    images: Sequence[Tensor],
    draws: Tensor,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: torch.dtype,
) -> Tensor:
    """Makes views (B, 3, size, size) of images (H, W, 3), each of a size of its own."""
    views = [
        view_augment(image[None], draw[None], None, size, mean, std, True, dtype)
        for image, draw in zip(images, draws, strict=True)
    ]
    if not views:
        return draws.new_empty((0, 3, size, size), dtype=dtype)
    return torch.cat(views).contiguous(memory_format=torch.channels_last)


def crop_resize(x: Tensor, boxes: Tensor, size: int, flip: Tensor) -> Tensor:
    """Crops each image by its own box, resizes it to (size, size), and mirrors some.

    Resizing is bilinear with antialiasing, as torchvision's `resize(antialias=True)`. It is separable, hence two
    products with interpolation matrices, rows @ x @ columns^T; the mirror reverses the columns' matrix.

    Args:
        x: (B, C, H, W).
        boxes: (B, 4): top, left, height, width, in pixels; of x's dtype.
        size: side of the views, in pixels.
        flip: bool (B,).
    """
    b, c, h, w = x.shape
    top, left, height, width = boxes.unbind(1)
    rows = _interpolation(top, height, h, size)
    columns = _interpolation(left, width, w, size)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    # With the channels between rows and columns, [B, H, C, W], both products are plain batched ones.
    x = x.permute(0, 2, 1, 3).reshape(b, h * c, w)
    x = torch.bmm(x, columns.mT)
    return torch.bmm(rows, x.view(b, h, c * size)).view(b, size, c, size).permute(0, 2, 1, 3)


def color_jitter(
    x: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor, order: Tensor
) -> Tensor:
    """Applies the four operations of color jitter, each sample's in its own order.

    All but hue are clamp(factor * x + (1 - factor) * pivot). The pivot is 0 for brightness, the image's mean gray
    for contrast, the pixel's gray for saturation.
    """
    for step in range(4):
        operation = torch.floor(order / 4**step) % 4
        is_brightness, is_contrast = operation == BRIGHTNESS, operation == CONTRAST
        factor = torch.where(is_brightness, brightness, torch.where(is_contrast, contrast, saturation))
        grays = gray(x)
        mean = grays.mean(dim=(2, 3), keepdim=True)
        pivot = torch.where(is_brightness, 0, torch.where(is_contrast, mean, grays))
        blended = (factor * x + (1 - factor) * pivot).clamp(0, 1)
        x = torch.where(operation == HUE, adjust_hue(x, hue), blended)
    return x


def adjust_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Rotates the hue by `shift` turns in HSV (hexcone), value and saturation kept."""
    hue, chroma, value = hexcone_from_rgb(x)
    return rgb_from_hexcone(hue + 6 * shift[:, 0], chroma, value)


def gray(x: Tensor) -> Tensor:
    """Computes ITU-R 601 luma, with torchvision's digits: (B, 3, H, W) -> (B, 1, H, W)."""
    red, green, blue = x.split(1, dim=1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Blurs with a window of `blur_window(S)` pixels and reflected borders, as M @ x @ M^T.

    Row i of M holds the normalized window g(j - i), and, folded back into the image, what of it lies outside:
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


def normalize(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Computes (x - mean) / std, channel by channel."""
    channels = [(c - m) / s for c, m, s in zip(x.unbind(1), mean, std, strict=True)]
    return torch.stack(channels, 1)


def _interpolation(start: Tensor, extent: Tensor, length: int, size: int) -> Tensor:
    """Computes the matrices of antialiased bilinear interpolation along one axis.

    Output pixel i is centered at start + (i + 1/2) * scale, scale = extent / size; its weights are a triangle
    about that, of half-width max(scale, 1), cut off where the crop ends and normalized.

    Args:
        start: (B,) first pixel of the crop.
        extent: (B,) pixels of the crop.
        length: pixels of the image.
        size: pixels of the output.

    Returns:
        (B, size, length), of the dtype of `start`.
    """
    start, extent = start[:, None, None], extent[:, None, None]
    i = torch.arange(size, device=start.device)[:, None]
    pixel = torch.arange(length, device=start.device)
    scale = extent / size
    distance = (pixel + 0.5 - start) - (i + 0.5) * scale
    weight = (1 - distance.abs() / scale.clamp(min=1)).clamp(min=0)
    weight = weight * ((pixel >= start) & (pixel < start + extent))
    return weight / weight.sum(dim=2, keepdim=True)
