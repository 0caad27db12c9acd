"""Sinkhorn-Knopp at SwAV's 3000 prototypes and more, 3 iterations.

`eager` is the published algorithm in the form of SwAV's code, in place; `reference` our specification, which costs
more and stands any range of scores.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.benchmarks.ops.benchmark import Benchmark, Step, Work, bind
from sslfast.kernels import sinkhorn_knopp

EPSILON, ITERATIONS = 0.05, 3


@dataclass(frozen=True)
class SinkhornKnoppCase:
    b: int
    k: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.b}x{self.k} {str(self.dtype).removeprefix('torch.')}"


SHAPES = [(256, 3000), (4096, 3000)]
ON_CPU = [(64, 300), (1024, 3000)]
ON_GPU = [(8192, 10000)]


@functools.lru_cache(maxsize=1)
def vectors(case: SinkhornKnoppCase, device: torch.device) -> tuple[Tensor, Tensor]:
    """Embeddings and prototypes, normalized vectors of 128 numbers, as SwAV's."""
    generator = torch.Generator(device).manual_seed(0)
    z, prototypes = (
        F.normalize(torch.randn(rows, 128, generator=generator, device=device)) for rows in (case.b, case.k)
    )
    return z, prototypes


@functools.lru_cache(maxsize=1)
def inputs(case: SinkhornKnoppCase, device: torch.device) -> Tensor:
    """Computes the scores of the vectors for the prototypes."""
    z, prototypes = vectors(case, device)
    return (z @ prototypes.T).to(case.dtype)


@torch.no_grad()
def published(scores: Tensor) -> Tensor:
    scores = scores.float()
    q = torch.exp((scores - scores.max()) / EPSILON).t()
    k, b = q.shape
    q /= q.sum()
    for _ in range(ITERATIONS):
        q /= q.sum(dim=1, keepdim=True)
        q /= k
        q /= q.sum(dim=0, keepdim=True)
        q /= b
    q *= b
    return q.t()


class SinkhornKnopp(Benchmark):
    op = "sinkhorn_knopp"
    passes = ("forward",)

    def cases(self, device: torch.device) -> list[SinkhornKnoppCase]:
        on_cpu = device.type == "cpu"
        dtypes = (torch.float32,) if on_cpu else (torch.float32, torch.bfloat16)
        shapes = sorted(SHAPES + (ON_CPU if on_cpu else ON_GPU))
        return [SinkhornKnoppCase(*shape, dtype) for shape in shapes for dtype in dtypes]

    def providers(self, device: torch.device) -> list[str]:
        eager, compiled, *ours = super().providers(device)
        return [eager, compiled, "reference", *ours]

    def work(self, case: SinkhornKnoppCase, pass_name: str) -> Work:
        return Work(0, case.b * case.k * (case.dtype.itemsize + 4))  # codes in fp32

    def step(self, case: SinkhornKnoppCase, provider: str, pass_name: str, device: torch.device) -> Step:
        settings = {"epsilon": EPSILON, "iterations": ITERATIONS}
        if provider == "flash-sinkhorn":
            return functools.partial(bind(sinkhorn_knopp, provider), *vectors(case, device), **settings)
        scores = inputs(case, device)
        if provider == "eager":
            return functools.partial(published, scores)
        if provider == "compiled":
            return functools.partial(torch.compile(published, dynamic=False), scores)
        return functools.partial(bind(sinkhorn_knopp, provider), scores, **settings)


BENCHMARK = SinkhornKnopp()


def test_sinkhorn_knopp(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
