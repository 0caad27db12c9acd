"""Images and draws for the tests of `view_augment`, and what torchvision makes of them."""

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from sslfast.kernels.view_augment import Draw, blur_window

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def some_images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Draws uint8 (B, H, W, 3): smooth, over the whole range, among them black, white and gray ones."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    images = F.resize(coarse, [height, width]).mul(1.4).sub(0.2).clamp(0, 1)
    for i, constant in enumerate((0, 1, images[2 % count, :1])):
        if count > 4:
            images[i] = constant
    return (images * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def no_draws(count: int, height: int, width: int) -> Tensor:
    """Makes fp32 (B, len(Draw)) of the whole image, to which nothing is done."""
    draws = torch.zeros(count, len(Draw))
    draws[:, Draw.HEIGHT], draws[:, Draw.WIDTH] = height, width
    draws[:, Draw.BRIGHTNESS : Draw.SATURATION + 1] = 1
    draws[:, Draw.ORDER] = 0 + 4 * 1 + 16 * 2 + 64 * 3
    return draws


def some_draws(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Draws fp32 (B, len(Draw)): everything but solarization happens to some, in all orders."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    draws = torch.zeros(count, len(Draw))
    for start, extent, length in ((Draw.TOP, Draw.HEIGHT, height), (Draw.LEFT, Draw.WIDTH, width)):
        draws[:, extent] = uniform(1, length + 1).floor()
        draws[:, start] = (uniform(0, 1) * (length - draws[:, extent] + 1)).floor()
    draws[:, Draw.FLIP] = uniform(0, 1).round()
    draws[:, Draw.JITTER] = uniform(0, 1).add(0.3).round()
    for factor in (Draw.BRIGHTNESS, Draw.CONTRAST, Draw.SATURATION):
        draws[:, factor] = uniform(0.2, 1.8)
    draws[:, Draw.HUE] = uniform(-0.5, 0.5)
    digits = torch.stack([torch.randperm(4, generator=generator) for _ in range(count)])
    draws[:, Draw.ORDER] = (digits * 4 ** torch.arange(4)).sum(1).float()
    draws[:, Draw.GRAYSCALE] = uniform(0, 0.8).round()
    draws[:, Draw.SIGMA] = uniform(-2, 3).clamp(min=0)
    return draws


def by_torchvision(image: Tensor, draw: Tensor, size: int, crop: bool = True) -> Tensor:
    """Makes a view by torchvision, (3, S, S) in [0, 1], not normalized."""
    x = image.permute(2, 0, 1).float() / 255
    d = draw.tolist()
    if crop:
        box = [int(d[c]) for c in (Draw.TOP, Draw.LEFT, Draw.HEIGHT, Draw.WIDTH)]
        x = F.resized_crop(x, *box, [size, size], antialias=True)
        x = F.horizontal_flip(x) if d[Draw.FLIP] else x
    operations = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for step in range(4) if d[Draw.JITTER] else ():
        number = int(d[Draw.ORDER]) >> 2 * step & 3
        x = operations[number](x, d[Draw.BRIGHTNESS + number])
    if d[Draw.GRAYSCALE]:
        x = F.rgb_to_grayscale(x, 3)
    if d[Draw.SIGMA]:
        x = F.gaussian_blur(x, blur_window(size), d[Draw.SIGMA])
    return F.solarize(x, 128 / 255) if d[Draw.SOLARIZE] else x
