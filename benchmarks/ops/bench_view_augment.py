"""Augmented views: CIFAR's out of the resident set, photographs' with their crops and after DALI's."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslfast.benchmarks.ops.benchmark import Benchmark, Step, Work, bind
from sslfast.config import ViewConfig
from sslfast.data.draws.reference import ViewDraws, sample_view
from sslfast.kernels import view_augment
from sslfast.recipes.presets import PRESETS

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ViewAugmentCase:
    b: int
    height: int  # of the images
    width: int
    size: int
    views: str  # the preset; its first view is made
    crop: bool
    dtype: torch.dtype

    def __str__(self) -> str:
        source = f"{self.height}x{self.width}" if self.crop else "crops"
        return f"{self.b}x{self.size}^2 of {source} {str(self.dtype).removeprefix('torch.')}"


CIFAR = (32, 32, 32, "simclr_cifar", True)
PHOTOGRAPHS, CROPS = (375, 500, 224, "simclr", True), (224, 224, 224, "simclr", False)
ON_CPU = [(256, *CIFAR), (16, *PHOTOGRAPHS), (16, *CROPS)]
ON_GPU = [(512, *CIFAR), (4096, *CIFAR), (256, *PHOTOGRAPHS), (256, *CROPS)]


@functools.cache
def draws(case: ViewAugmentCase) -> ViewDraws:
    view = ViewConfig(**PRESETS[case.views][0])
    return sample_view(view, 0, 0, np.arange(case.b), 0, case.height, case.width)


@functools.cache
def inputs(case: ViewAugmentCase, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    shape = (case.b, case.height, case.width, 3)
    images = torch.randint(0, 256, shape, generator=generator, device=device, dtype=torch.uint8)
    return images, torch.from_numpy(draws(case).table()).to(device)


class ViewAugment(Benchmark):
    op = "view_augment"
    passes = ("forward",)

    def cases(self, device: torch.device) -> list[ViewAugmentCase]:
        shapes, dtype = (ON_CPU, torch.float32) if device.type == "cpu" else (ON_GPU, torch.bfloat16)
        return [ViewAugmentCase(*shape, dtype) for shape in shapes]

    def work(self, case: ViewAugmentCase, pass_name: str) -> Work:
        pixels = case.b * case.size**2
        cropped = int(draws(case).boxes[:, 2:].prod(1).sum()) if case.crop else pixels
        return Work(0, 3 * (cropped + pixels * case.dtype.itemsize))

    def step(self, case: ViewAugmentCase, provider: str, pass_name: str, device: torch.device) -> Step:
        arguments: dict[str, Any] = {"size": case.size, "mean": MEAN, "std": STD}
        make = bind(view_augment, provider)
        return functools.partial(make, *inputs(case, device), crop=case.crop, dtype=case.dtype, **arguments)


BENCHMARK = ViewAugment()


def test_view_augment(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
