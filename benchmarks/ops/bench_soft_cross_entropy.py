"""Cross-entropy with soft targets, of SwAV's 3000 prototypes and of as many as large models use."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from sslfast.benchmarks.ops.benchmark import PASSES, Benchmark, Step, Work, bind, of_pass
from sslfast.kernels import soft_cross_entropy

TEMPERATURE = 0.1


@dataclass(frozen=True)
class SoftCrossEntropyCase:
    b: int
    k: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.b}x{self.k} {str(self.dtype).removeprefix('torch.')}"


ON_CPU = [(256, 3000), (2048, 3000)]
ON_GPU = [(256, 3000), (4096, 3000), (8192, 10000), (1024, 65536)]


@functools.lru_cache(maxsize=1)
def inputs(case: SoftCrossEntropyCase, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    logits, targets = (torch.randn(case.b, case.k, generator=generator, device=device) for _ in range(2))
    return logits.to(case.dtype).requires_grad_(), targets.softmax(1)


class SoftCrossEntropy(Benchmark):
    op = "soft_cross_entropy"
    passes = PASSES

    def cases(self, device: torch.device) -> list[SoftCrossEntropyCase]:
        if device.type == "cpu":
            shapes, dtypes = ON_CPU, (torch.float32,)
        else:
            shapes, dtypes = ON_GPU, (torch.bfloat16,)
        return [SoftCrossEntropyCase(*shape, dtype) for shape in shapes for dtype in dtypes]

    def work(self, case: SoftCrossEntropyCase, pass_name: str) -> Work:
        passes = 1 if pass_name == "forward" else 2  # over the logits: read, and the gradient written
        return Work(0, case.b * case.k * (passes * case.dtype.itemsize + 4))  # targets in fp32

    def step(self, case: SoftCrossEntropyCase, provider: str, pass_name: str, device: torch.device) -> Step:
        logits, targets = inputs(case, device)
        loss = bind(soft_cross_entropy, provider)
        return of_pass(pass_name, lambda: loss(logits, targets, temperature=TEMPERATURE), [logits])


BENCHMARK = SoftCrossEntropy()


def test_soft_cross_entropy(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
