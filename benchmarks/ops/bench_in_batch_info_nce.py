"""In-batch InfoNCE, normalized inputs: the query's gradient (MoCo v3), the keys' (NNCLR, MNCL), and both."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.benchmarks.ops.benchmark import PASSES, Benchmark, Step, Work, bind, of_pass
from sslfast.kernels import in_batch_info_nce

TEMPERATURE = 0.2


@dataclass(frozen=True)
class InBatchInfoNCECase:
    n: int
    m: int
    d: int
    gradient: str  # to the "query", the "keys" or "both"
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.n}x{self.m}x{self.d} {self.gradient} {str(self.dtype).removeprefix('torch.')}"


# N = 6 M: Fast-MoCo's and MNCL's six combined patches of each image.
ON_CPU = [
    (64, 64, 256, "query"),
    (256, 256, 256, "query"),
    (1024, 1024, 256, "query"),
    (1024, 1024, 256, "keys"),
    (1024, 1024, 256, "both"),
    (1536, 256, 256, "keys"),
    (1536, 256, 2048, "keys"),
    (4096, 4096, 256, "query"),
    (4096, 4096, 256, "both"),
]
ON_GPU = [
    (256, 256, 256, "query"),
    (1024, 1024, 256, "query"),
    (4096, 4096, 256, "query"),
    (4096, 4096, 256, "both"),
    (1536, 256, 2048, "keys"),
    (4096, 32768, 256, "query"),
    (32768, 32768, 256, "both"),
]


@functools.cache
def inputs(case: InBatchInfoNCECase, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    query, keys = (
        F.normalize(torch.randn(rows, case.d, generator=generator, device=device), dim=1).to(case.dtype)
        for rows in (case.n, case.m)
    )
    return query.requires_grad_(case.gradient != "keys"), keys.requires_grad_(case.gradient != "query")


class InBatchInfoNCE(Benchmark):
    op = "in_batch_info_nce"
    passes = PASSES

    def cases(self, device: torch.device) -> list[InBatchInfoNCECase]:
        if device.type == "cpu":
            return [InBatchInfoNCECase(*shape, torch.float32) for shape in ON_CPU]
        return [InBatchInfoNCECase(*shape, torch.bfloat16) for shape in ON_GPU]

    def work(self, case: InBatchInfoNCECase, pass_name: str) -> Work:
        gradients = 0 if pass_name == "forward" else (2 if case.gradient == "both" else 1)
        rows = case.n + case.m
        return Work(
            2 * (1 + gradients) * case.n * case.m * case.d,
            (1 + gradients / 2) * rows * case.d * case.dtype.itemsize,
        )

    def step(self, case: InBatchInfoNCECase, provider: str, pass_name: str, device: torch.device) -> Step | None:
        if provider == "memeff" and case.n != case.m:
            return None
        tensors = inputs(case, device)
        asking = [tensor for tensor in tensors if tensor.requires_grad]
        chunks = max(1, case.n // case.m)
        loss = functools.partial(bind(in_batch_info_nce, provider), temperature=TEMPERATURE, chunks=chunks)
        return of_pass(pass_name, lambda: loss(*tensors), asking)


BENCHMARK = InBatchInfoNCE()


def test_in_batch_info_nce(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
