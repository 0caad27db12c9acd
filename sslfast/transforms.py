"""The views of a method, made of any loader's images by the fused augmentation, `kernels.view_augment`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from sslfast import distributed
from sslfast import kernels as K
from sslfast.config import DataConfig
from sslfast.config.validation import validate
from sslfast.data.draws.on_device import ViewSampler, view_sampler
from sslfast.kernels.common.checks import check_whole_number
from sslfast.recipes.check import check_channels
from sslfast.recipes.load import preset

ROWS_OF_RANK = 2**20  # more images than a process augments at once


class Views(nn.Module):
    """Makes the augmented views of a method, each image with a draw of its own, in one pass on any device.

    They are torchvision's transforms in the order of SimCLR: RandomResizedCrop, RandomHorizontalFlip, ColorJitter,
    RandomGrayscale, GaussianBlur, RandomSolarize, Normalize. Unlike there a batch is transformed at once, and yet
    each image by numbers of its own:

        views = Views("simclr", size=224)
        for images, _ in loader:  # uint8 (B, 3, H, W), on the CPU or a GPU
            view1, view2 = views(images.to(device))  # fp32 (B, 3, 224, 224) each, normalized

    The draws are a function of the seed, the number of the call, the process and the row. In the workers of a
    DataLoader they follow from the worker's seed too, which torch draws anew in each epoch.

    Args:
        views: the name of a method's views, as `data.views` of a recipe takes it (`sslfast pretrain --help
            data.views` lists them), or a list with the settings of each: {"scale": (0.2, 1.0), "blur": 0.5},
            others by default (`sslfast.config.ViewConfig`).
        size: side of the views in pixels, where a view states no other.
        mean: C numbers, of each channel over [0, 1], which are subtracted: of 3 channels red, green, blue.
        std: standard deviation of the same, which divides.
        seed: of the draws, 0 or above.
        dtype: of the views: fp32, fp16 or bf16.

    Attributes:
        calls: the number of calls so far; set it to repeat or to go on with the draws.

    Raises:
        UsageError: there are no such views, a setting is out of range, or it is of colors that C channels lack.
        ValueError: a seed below 0.
    """

    def __init__(
        self,
        views: str | Sequence[Mapping[str, Any]],
        *,
        size: int,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        check_whole_number("Views", "seed", seed, least=0)
        each = preset(views, "Views") if isinstance(views, str) else [dict(view) for view in views]
        settings = {"views": each, "size": size, "mean": list(mean), "std": list(std), "channels": len(mean)}
        self.data: DataConfig = validate(DataConfig, settings, origin="Views")
        check_channels(self.data)
        self.seed, self.dtype, self.calls = seed, dtype, 0
        self._samplers: dict[tuple[Any, ...], list[ViewSampler]] = {}

    def forward(self, images: Tensor | Sequence[Tensor]) -> list[Tensor]:
        """Makes the views.

        Args:
            images: uint8 or uint16 (B, C, H, W), or (B, H, W, C); a list of (C, H, W), or (H, W, C), of sizes of
                their own.

        Returns:
            A tensor (B, C, S, S) a view, channels_last, on the images' device.

        Raises:
            ValueError: images of another shape or dtype.
        """
        pixels: Tensor | list[Tensor]
        if isinstance(images, Tensor):
            pixels = whole = _channels_last(images, 4, self.data.channels)
            device, sizes = images.device, [whole.shape[1:3]]
        else:
            pixels = [_channels_last(image, 3, self.data.channels) for image in images]
            if not pixels:
                raise ValueError("Views: expected at least one image, got an empty list")
            device, sizes = pixels[0].device, [image.shape[:2] for image in pixels]
        rows = torch.arange(len(images), device=device)
        index = rows + distributed.rank() * ROWS_OF_RANK
        samplers = self._of(sizes, device)
        step, self.calls = self.calls, self.calls + 1
        return [
            K.view_augment(
                pixels,
                sample(step, index, rows),
                size=side,
                mean=self.data.mean,
                std=self.data.std,
                dtype=self.dtype,
            )
            for sample, side in zip(samplers, self.data.sizes, strict=True)
        ]

    def _of(self, sizes: Sequence[Sequence[int]], device: torch.device) -> list[ViewSampler]:
        """Makes the views' samplers for images of these sizes; those of one size stay: they hold GPU tensors."""
        worker = get_worker_info()
        seed = self.seed if worker is None else (self.seed + worker.seed) % 2**63
        key = (*sizes[0], device, seed)
        if len(sizes) == 1 and key in self._samplers:
            return self._samplers[key]
        pixels = np.array([tuple(size) for size in sizes], dtype=np.int64)
        samplers = [
            view_sampler(view, seed, number, pixels, device) for number, view in enumerate(self.data.views)
        ]
        if len(sizes) == 1:
            self._samplers[key] = samplers
        return samplers

    def extra_repr(self) -> str:
        return f"sizes={self.data.sizes}, seed={self.seed}, dtype={self.dtype}"


def _channels_last(images: Tensor, ndim: int, channels: int) -> Tensor:
    """Returns the images as (..., H, W, C), of the same memory.

    Raises:
        ValueError: they are no images of 8 or 16 bits and of so many channels.
    """
    if images.ndim == ndim and images.dtype in (torch.uint8, torch.uint16):
        if images.shape[-3] == channels:
            return images.movedim(-3, -1)
        if images.shape[-1] == channels:
            return images
    c = channels
    shape = f"(B, {c}, H, W) or (B, H, W, {c})" if ndim == 4 else f"({c}, H, W) or (H, W, {c})"
    raise ValueError(
        f"Views: expected images of shape {shape}, uint8 or uint16, got {tuple(images.shape)}, {images.dtype}"
    )
