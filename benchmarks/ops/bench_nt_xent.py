"""NT-Xent, normalized inputs: from a small batch on a CPU to large batches on a GPU."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.benchmarks.ops.benchmark import PASSES, Benchmark, Step, Work, bind, of_pass
from sslfast.kernels import nt_xent

TEMPERATURE = 0.1


@dataclass(frozen=True)
class NTXentCase:
    rows: int  # 2N
    d: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.rows}x{self.d} {str(self.dtype).removeprefix('torch.')}"


ON_CPU = [(256, 128), (512, 128), (1024, 128), (1024, 256), (4096, 128), (8192, 128)]
ON_GPU = [(1024, 128), (8192, 128), (32768, 256)]


def cases(device: torch.device) -> list[NTXentCase]:
    shapes, dtype = (ON_CPU, torch.float32) if device.type == "cpu" else (ON_GPU, torch.bfloat16)
    return [NTXentCase(rows, d, dtype) for rows, d in shapes]


def work(case: NTXentCase, pass_name: str) -> Work:
    """Counts half of the symmetric logits, their weights' product with the rows, each row read, and written."""
    products, passes = (0.5, 1) if pass_name == "forward" else (1.5, 2)
    return Work(2 * products * case.rows**2 * case.d, passes * case.rows * case.d * case.dtype.itemsize)


@functools.cache
def inputs(case: NTXentCase, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    shape = case.rows // 2, case.d
    z1, z2 = (F.normalize(torch.randn(shape, generator=generator, device=device), dim=1) for _ in range(2))
    return z1.to(case.dtype).requires_grad_(), z2.to(case.dtype).requires_grad_()


class NTXent(Benchmark):
    op = "nt_xent"
    passes = PASSES

    def cases(self, device: torch.device) -> list[NTXentCase]:
        return cases(device)

    def work(self, case: NTXentCase, pass_name: str) -> Work:
        return work(case, pass_name)

    def step(self, case: NTXentCase, provider: str, pass_name: str, device: torch.device) -> Step | None:
        if provider == "pml" and case.rows > 512:
            return None  # beyond any memory
        z1, z2 = inputs(case, device)
        loss = bind(nt_xent, provider)
        return of_pass(pass_name, lambda: loss(z1, z2, temperature=TEMPERATURE), [z1, z2])


BENCHMARK = NTXent()


def test_nt_xent(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
