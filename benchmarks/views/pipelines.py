"""The input pipelines that `make bench-views` sets side by side: ours, torchvision's with a DataLoader, kornia's.

Each yields batches of views without end: from a source to float32, normalized, on the device; `rate` times it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import os
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from sslfast.benchmarks.measure.machine import wait_for
from sslfast.config import DataConfig, ViewConfig
from sslfast.data import LoaderSpec, Source, make_loader
from sslfast.kernels.view_augment import blur_window

Views = tuple[Tensor, ...]
Batches = Generator[Views, None, None]
Pipeline = Callable[[Source, DataConfig, torch.device], Batches]
ENDLESS = 10**9  # images of an epoch: a DataLoader pauses between epochs, which is not what is compared
WORKERS = len(os.sched_getaffinity(0))
WARM_UP = 2 * WORKERS + 1  # batches: as many as a DataLoader prepares ahead, and the first
DECODED = 8 / 7  # side of the squares that kornia crops from, in units of a view's: 256 for 224


def rate(batches: Iterator[object], seconds: float, device: torch.device) -> float:
    """Measures the batches a second, once what was prepared ahead is used up."""
    for _ in range(WARM_UP):
        next(batches)
    wait_for(device)
    start, count = time.perf_counter(), 0
    while not count or time.perf_counter() - start < seconds:
        next(batches)
        count += 1
    wait_for(device)
    return count / (time.perf_counter() - start)


def ours(source: Source, data: DataConfig, device: torch.device, pipeline: Any) -> Batches:
    data = dataclasses.replace(data, pipeline=pipeline, workers=WORKERS)
    loader = make_loader(LoaderSpec(source, data, 0, device))
    for epoch in itertools.count():
        for batch in loader.epoch(epoch):
            yield batch.views


def torchvision(source: Source, data: DataConfig, device: torch.device, *, tensors: bool) -> Batches:
    """Applies torchvision's transforms, sample by sample, on tensors or on PIL images."""
    sides = zip(data.views, data.sizes, strict=True)
    images = Transformed(source, [transform(view, size, data) for view, size in sides], tensors=tensors)
    for views in batches(images, data, device):
        yield tuple(view.to(device, non_blocking=True) for view in views)


def kornia(source: Source, data: DataConfig, device: torch.device) -> Batches:
    """Applies kornia's transforms, batch by batch on the device, to images brought to one size beforehand."""
    sides = zip(data.views, data.sizes, strict=True)
    augmentations = [kornia_view(view, size, data) for view, size in sides]
    if source.images is None:
        square = v2.Resize([round(DECODED * max(data.sizes))] * 2, antialias=True)
        decoded = (images for (images,) in batches(Transformed(source, [square], tensors=True), data, device))
    else:
        on_device = torch.from_numpy(source.images).permute(0, 3, 1, 2).contiguous().to(device)
        decoded = (
            on_device[torch.randint(len(source), (data.batch_size,), device=device)] for _ in itertools.count()
        )
    for images in decoded:
        x = images.to(device, non_blocking=True).float().div_(255)
        yield tuple(augment(x) for augment in augmentations)


def kornia_view(view: ViewConfig, size: int, data: DataConfig) -> Any:
    """Builds kornia's form of a view, on batches of fp32 (B, 3, H, W) in [0, 1].

    On torchvision's grid of pixels and, of its two color jitters, with the one that has torchvision's arithmetic.
    What it does otherwise is less work: a crop that is made smaller is not antialiased, the order of the color
    operations is drawn once for a batch.
    """
    from kornia import augmentation as K

    window = blur_window(size)
    return K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=view.scale, ratio=view.ratio, align_corners=False),
        K.RandomHorizontalFlip(p=view.flip),
        K.ColorJitter(view.brightness, view.contrast, view.saturation, view.hue, p=view.jitter),
        K.RandomGrayscale(p=view.grayscale),
        *([K.RandomGaussianBlur((window, window), view.blur_sigma, p=view.blur)] if view.blur else []),
        K.Normalize(mean=data.mean, std=data.std),
        data_keys=["input"],
    )


def photograph_pipelines() -> dict[str, Pipeline]:
    return {
        "sslfast": partial(ours, pipeline="dali"),
        "DALI alone": partial(ours, pipeline="dali_only"),
        **peers(),
    }


def array_pipelines() -> dict[str, Pipeline]:
    return {"sslfast": partial(ours, pipeline="resident"), **peers()}


def peers() -> dict[str, Pipeline]:
    pipelines: dict[str, Pipeline] = {
        "torchvision, tensors": partial(torchvision, tensors=True),
        "torchvision, PIL": partial(torchvision, tensors=False),
    }
    return {**pipelines, "kornia": kornia} if importlib.util.find_spec("kornia") else pipelines


class Transformed(Dataset[Views]):
    """Each image of a source, decoded once, after each of the transforms."""

    def __init__(self, source: Source, transforms: list[v2.Transform], *, tensors: bool) -> None:
        self.source = source
        self.transforms = transforms
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Views:
        image = self.image(index)
        return tuple(transform(image) for transform in self.transforms)

    def image(self, index: int) -> Any:
        if self.source.paths is not None:
            path = self.source.paths[index]
            return decode_image(str(path), ImageReadMode.RGB) if self.tensors else Image.open(path).convert("RGB")
        assert self.source.images is not None
        pixels = self.source.images[index]
        return torch.from_numpy(pixels).permute(2, 0, 1) if self.tensors else Image.fromarray(pixels)


def transform(view: ViewConfig, size: int, data: DataConfig) -> v2.Transform:
    """Builds torchvision's form of a view, but for solarization and regions, which no recipe here asks for."""
    jitter = v2.ColorJitter(view.brightness, view.contrast, view.saturation, view.hue)
    blur = v2.GaussianBlur(blur_window(size), view.blur_sigma)
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, view.scale, view.ratio, antialias=True),
            v2.RandomHorizontalFlip(view.flip),
            v2.RandomApply([jitter], view.jitter),
            v2.RandomGrayscale(view.grayscale),
            *([v2.RandomApply([blur], view.blur)] if view.blur else []),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(data.mean, data.std),
        ]
    )


def batches(dataset: Transformed, data: DataConfig, device: torch.device) -> Iterator[Views]:
    sampler = RandomSampler(dataset, replacement=True, num_samples=ENDLESS)
    yield from DataLoader(
        dataset,
        data.batch_size,
        sampler=sampler,
        num_workers=WORKERS,
        pin_memory=device.type == "cuda",
        multiprocessing_context="fork",
    )
