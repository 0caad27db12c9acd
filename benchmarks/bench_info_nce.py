"""InfoNCE with a queue, normalised inputs: from a small batch on a CPU to large batches on a GPU."""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.benchmarks.common import Benchmark, Step, bind
from sslfast.kernels import info_nce

TEMPERATURE = 0.07


@dataclass(frozen=True)
class Case:
    n: int
    k: int
    d: int
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.n}x{self.k}x{self.d} {str(self.dtype).removeprefix('torch.')}"


ON_CPU = [
    (64, 4096, 128),
    (256, 4096, 128),
    (512, 4096, 128),
    (256, 16384, 128),
    (256, 65536, 128),
    (256, 65536, 256),
]
ON_GPU = [(256, 65536, 128), (4096, 65536, 256), (32768, 131072, 256), (4096, 65536, 2048)]


@functools.cache
def inputs(case: Case, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    query, positive, queue = (
        F.normalize(torch.randn(rows, case.d, generator=generator, device=device), dim=1).to(case.dtype)
        for rows in (case.n, case.n, case.k)
    )
    return query.requires_grad_(), positive, queue


class InfoNCE(Benchmark):
    op = "info_nce"
    passes = ("forward", "forward+backward")

    def cases(self, device: torch.device) -> list[Case]:
        if device.type == "cpu":
            shapes, dtypes = ON_CPU, (torch.float32,)
        else:
            shapes, dtypes = ON_GPU, (torch.bfloat16,)
        return [Case(*shape, dtype) for shape in shapes for dtype in dtypes]

    def step(self, case: Case, provider: str, pass_name: str, device: torch.device) -> Step:
        query, positive, queue = inputs(case, device)
        loss = bind(info_nce, provider)

        def forward() -> Any:
            with torch.no_grad():
                return loss(query, positive, queue, temperature=TEMPERATURE)

        def forward_backward() -> Any:
            return torch.autograd.grad(loss(query, positive, queue, temperature=TEMPERATURE), query)

        return forward if pass_name == "forward" else forward_backward


BENCHMARK = InfoNCE()


def test_info_nce(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
