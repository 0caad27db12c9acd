"""The queue's update, at the sizes of MoCo's queues."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from sslfast.benchmarks.ops.benchmark import Benchmark, Step, Work, bind
from sslfast.kernels import enqueue_


@dataclass(frozen=True)
class EnqueueCase:
    n: int
    k: int
    d: int

    def __str__(self) -> str:
        return f"{self.n} into {self.k}x{self.d}"


@functools.lru_cache(maxsize=1)
def inputs(case: EnqueueCase, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    queue, keys = (torch.randn(rows, case.d, generator=generator, device=device) for rows in (case.k, case.n))
    return queue, keys, torch.zeros((), dtype=torch.int64, device=device), torch.tensor(False, device=device)


class Enqueue(Benchmark):
    op = "enqueue_"
    passes = ("update",)

    def cases(self, device: torch.device) -> list[EnqueueCase]:
        return [EnqueueCase(64, 4096, 128), EnqueueCase(256, 65536, 128), EnqueueCase(4096, 65536, 256)]

    def work(self, case: EnqueueCase, pass_name: str) -> Work:
        return Work(0, 2 * 4 * case.n * case.d)

    def step(self, case: EnqueueCase, provider: str, pass_name: str, device: torch.device) -> Step:
        queue, keys, pointer, skip = inputs(case, device)
        return functools.partial(bind(enqueue_, provider), queue, keys, pointer, skip=skip)


BENCHMARK = Enqueue()


def test_enqueue(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
