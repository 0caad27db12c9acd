"""Nearest-neighbor lookup in a queue: from a small batch on a CPU to large batches on a GPU."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.benchmarks.ops.benchmark import Benchmark, Step, Work, bind
from sslfast.kernels import nearest_neighbor


@dataclass(frozen=True)
class NearestNeighborCase:
    n: int
    k: int
    d: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.n}x{self.k}x{self.d} {str(self.dtype).removeprefix('torch.')}"


ON_CPU = [(64, 4096, 128), (256, 4096, 128), (256, 16384, 128), (256, 65536, 256), (512, 98304, 256)]
ON_GPU = [(256, 65536, 256), (4096, 98304, 256), (4096, 98304, 2048)]


@functools.cache
def inputs(case: NearestNeighborCase, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    query, queue = (torch.randn(rows, case.d, generator=generator, device=device) for rows in (case.n, case.k))
    return query.to(case.dtype), F.normalize(queue, dim=1).to(case.dtype)


def eager(query: Tensor, queue: Tensor) -> tuple[Tensor, Tensor]:
    """Looks up as one would write it, faster than the reference without its care for zeros, NaN and infinity."""
    similarity, indices = (F.normalize(query, dim=1) @ F.normalize(queue, dim=1).T).max(dim=1)
    return indices, similarity


class NearestNeighbor(Benchmark):
    op = "nearest_neighbor"
    passes = ("forward",)

    def cases(self, device: torch.device) -> list[NearestNeighborCase]:
        if device.type == "cpu":
            return [NearestNeighborCase(*shape, torch.float32) for shape in ON_CPU]
        return [NearestNeighborCase(*shape, torch.bfloat16) for shape in ON_GPU]

    def work(self, case: NearestNeighborCase, pass_name: str) -> Work:
        return Work(2 * case.n * case.k * case.d, (case.n + case.k) * case.d * case.dtype.itemsize)

    def step(self, case: NearestNeighborCase, provider: str, pass_name: str, device: torch.device) -> Step:
        plain = {"eager": eager, "compiled": torch.compile(eager, dynamic=False)}
        lookup = plain[provider] if provider in plain else bind(nearest_neighbor, provider)
        return functools.partial(lookup, *inputs(case, device))


BENCHMARK = NearestNeighbor()


def test_nearest_neighbor(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
