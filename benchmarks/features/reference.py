"""The loop that a careful user writes for the features of images: torchvision, a DataLoader, eager PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets.folder import default_loader

from sslfast.config import DataConfig
from sslfast.data import Source
from sslfast.data.evaluation import resize_center_crop

CORES = len(os.sched_getaffinity(0))


class Images(Dataset[Tensor]):
    """The images of a source as torchvision's ImageFolder or CIFAR10 gives them."""

    def __init__(self, source: Source, transform: Callable[[Any], Tensor]) -> None:
        self.source, self.transform = source, transform

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor:
        if self.source.paths is not None:
            return self.transform(default_loader(str(self.source.paths[index])))
        assert self.source.images is not None
        return self.transform(Image.fromarray(self.source.images[index]))


def reference(
    encoder: nn.Module,
    source: Source,
    data: DataConfig,
    batch_size: int,
    compute_dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Computes the features of all images, (N, feature_dim): as many workers as cores, PyTorch's default layout.

    The images are resized and cropped to the sides that ours are, by torchvision on PIL images. The encoder
    computes in `compute_dtype`: fp32, or bf16 by autocast.
    """
    transform = transforms.Compose(
        [
            partial(resize_center_crop, size=data.size),
            transforms.ToTensor(),
            transforms.Normalize(data.mean, data.std),
        ]
    )
    loader = DataLoader(Images(source, transform), batch_size, num_workers=CORES)
    encoder.eval()
    with torch.inference_mode(), torch.autocast("cpu", enabled=compute_dtype == torch.bfloat16):
        return torch.cat([encoder(images).float() for images in loader])
