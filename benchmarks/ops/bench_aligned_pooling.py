"""Aligned pooling of a backbone's last features under learned maps."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from sslfast.benchmarks.ops.benchmark import PASSES, Benchmark, Step, Work, bind, of_pass
from sslfast.kernels import aligned_pooling


@dataclass(frozen=True)
class AlignedPoolingCase:
    b: int
    d: int
    channels: int
    side: int
    groups: int
    dtype: torch.dtype
    channels_last: bool

    def __str__(self) -> str:
        layout = " nhwc" if self.channels_last else ""
        size = f"{self.b}x{self.d}x{self.channels}x{self.side}^2/{self.groups}"
        return f"{size} {str(self.dtype).removeprefix('torch.')}{layout}"


# (images, maps, channels, height and width, groups)
ON_CPU = [(32, 128, 512, 7, 1), (64, 128, 512, 14, 1), (64, 256, 2048, 7, 4)]
ON_GPU = [(256, 256, 2048, 7, 4), (64, 128, 512, 14, 1)]


@functools.cache
def inputs(case: AlignedPoolingCase, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    layout = torch.channels_last if case.channels_last else torch.contiguous_format
    features, maps = (
        torch.randn(case.b, c, case.side, case.side, generator=generator, device=device)
        .to(case.dtype, memory_format=layout)
        .requires_grad_()
        for c in (case.channels, case.d)
    )
    gradient = torch.randn(case.b, case.d // case.groups, case.channels, generator=generator, device=device)
    return features, maps, gradient.to(case.dtype)


class AlignedPooling(Benchmark):
    op = "aligned_pooling"
    passes = PASSES

    def cases(self, device: torch.device) -> list[AlignedPoolingCase]:
        shapes, dtype = (ON_CPU, torch.float32) if device.type == "cpu" else (ON_GPU, torch.bfloat16)
        layouts = (False, True)  # channels_last
        return [AlignedPoolingCase(*shape, dtype, layout) for shape in shapes for layout in layouts]

    def work(self, case: AlignedPoolingCase, pass_name: str) -> Work:
        products, passes = (1, 1) if pass_name == "forward" else (3, 2)  # inputs read, gradients written
        positions = case.side**2
        pooled = case.d // case.groups * case.channels
        elements = (case.d + case.channels) * positions + pooled
        return Work(2 * products * case.b * pooled * positions, passes * case.b * elements * case.dtype.itemsize)

    def step(self, case: AlignedPoolingCase, provider: str, pass_name: str, device: torch.device) -> Step:
        features, maps, gradient = inputs(case, device)
        pool = bind(aligned_pooling, provider)
        return of_pass(pass_name, lambda: pool(features, maps, groups=case.groups), [features, maps], gradient)


BENCHMARK = AlignedPooling()


def test_aligned_pooling(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
