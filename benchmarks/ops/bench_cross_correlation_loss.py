"""The loss of Barlow Twins over the widths of its projector."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from sslfast.benchmarks.ops.benchmark import PASSES, Benchmark, Step, Work, bind, of_pass
from sslfast.kernels import cross_correlation_loss

LAMBDA = 0.0051
ON_CPU = [(256, 2048), (1024, 2048), (2048, 2048), (256, 8192)]
ON_GPU = [(256, 8192), (1024, 8192), (2048, 8192), (2048, 2048)]


@dataclass(frozen=True)
class CrossCorrelationCase:
    n: int
    d: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.n}x{self.d} {str(self.dtype).removeprefix('torch.')}"


@functools.lru_cache(maxsize=1)
def inputs(case: CrossCorrelationCase, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    z1, noise = (torch.randn(case.n, case.d, generator=generator, device=device) for _ in range(2))
    return z1.to(case.dtype).requires_grad_(), (z1 + noise).to(case.dtype).requires_grad_()


class CrossCorrelationLoss(Benchmark):
    op = "cross_correlation_loss"
    passes = PASSES

    def cases(self, device: torch.device) -> list[CrossCorrelationCase]:
        if device.type == "cpu":
            return [CrossCorrelationCase(n, d, torch.float32) for n, d in ON_CPU]
        return [CrossCorrelationCase(n, d, torch.bfloat16) for n, d in ON_GPU]

    def work(self, case: CrossCorrelationCase, pass_name: str) -> Work:
        """Products by the smaller of a^T b and the symmetric a a^T and b b^T, and one with it for each view."""
        rows, columns = case.n, min(case.n, case.d)
        forward, backward = 2 * rows * case.d * columns, 4 * rows * case.d * columns
        passes = 1 if pass_name == "forward" else 2
        return Work(forward + (backward if passes == 2 else 0), passes * 2 * case.n * case.d * case.dtype.itemsize)

    def step(self, case: CrossCorrelationCase, provider: str, pass_name: str, device: torch.device) -> Step:
        z1, z2 = inputs(case, device)
        loss = bind(cross_correlation_loss, provider)
        return of_pass(pass_name, lambda: loss(z1, z2, lambd=LAMBDA), [z1, z2])


BENCHMARK = CrossCorrelationLoss()


def test_cross_correlation_loss(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
