"""The supervised contrastive loss over two views of a batch with ten classes, normalized features."""

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.benchmarks.ops.bench_nt_xent import NTXentCase, cases, work
from sslfast.benchmarks.ops.benchmark import PASSES, Benchmark, Step, Work, bind, of_pass
from sslfast.kernels import sup_con

TEMPERATURE = 0.1
NUM_CLASSES = 10


@functools.cache
def inputs(case: NTXentCase, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    features = F.normalize(torch.randn(case.rows, case.d, generator=generator, device=device), dim=1)
    labels = torch.randint(NUM_CLASSES, (case.rows // 2,), generator=generator, device=device).repeat(2)
    return features.to(case.dtype).requires_grad_(), labels


class SupCon(Benchmark):
    op = "sup_con"
    passes = PASSES

    def cases(self, device: torch.device) -> list[NTXentCase]:
        return cases(device)

    def work(self, case: NTXentCase, pass_name: str) -> Work:
        return work(case, pass_name)

    def step(self, case: NTXentCase, provider: str, pass_name: str, device: torch.device) -> Step:
        features, labels = inputs(case, device)
        loss = bind(sup_con, provider)
        return of_pass(pass_name, lambda: loss(features, labels, temperature=TEMPERATURE), [features])


BENCHMARK = SupCon()


def test_sup_con(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
