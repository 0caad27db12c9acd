"""The momentum update of whole networks, and of a list so small that only the call itself counts.

`eager` is the loop over parameters that training code has; `foreach` PyTorch's multi-tensor kernel. `copy` copies
the sources into the targets, as a measure of the memory: it moves 2 words an element where an update moves 3.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from sslfast.benchmarks.ops.benchmark import Benchmark, Step, Work, bind
from sslfast.benchmarks.ops.networks import NETWORKS, shapes
from sslfast.kernels import ema_update_

MOMENTUM = 0.99


@dataclass(frozen=True)
class EmaUpdateCase:
    """The parameters of a network of torchvision, or `count` vectors of length 64."""

    network: str | None
    count: int = 0

    def __str__(self) -> str:
        return self.network or f"{self.count} tensors of 64"

    def shapes(self) -> list[torch.Size]:
        if self.network is None:
            return [torch.Size([64])] * self.count
        return shapes(self.network)


@functools.lru_cache(maxsize=1)
def inputs(case: EmaUpdateCase, device: torch.device) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator(device).manual_seed(0)
    targets, sources = (
        [torch.randn(shape, generator=generator, device=device) for shape in case.shapes()] for _ in range(2)
    )
    return targets, sources


def loop(targets: list[Tensor], sources: list[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.mul_(MOMENTUM).add_(source, alpha=1 - MOMENTUM)


class EmaUpdate(Benchmark):
    op = "ema_update_"
    passes = ("update",)
    yardsticks = ("copy",)

    def cases(self, device: torch.device) -> list[EmaUpdateCase]:
        small = [EmaUpdateCase(None, count) for count in (1, 4, 16)]
        return [*small, *(EmaUpdateCase(network) for network in NETWORKS)]

    def providers(self, device: torch.device) -> list[str]:
        eager, compiled, *ours = super().providers(device)
        return [eager, compiled, "foreach", "copy", *ours]

    def work(self, case: EmaUpdateCase, pass_name: str) -> Work:
        return Work(0, 3 * 4 * sum(shape.numel() for shape in case.shapes()))

    def step(self, case: EmaUpdateCase, provider: str, pass_name: str, device: torch.device) -> Step:
        targets, sources = inputs(case, device)
        if provider == "eager":
            return torch.no_grad()(functools.partial(loop, targets, sources))
        if provider == "compiled":
            return functools.partial(torch.compile(loop, dynamic=False), targets, sources)
        if provider == "foreach":
            return torch.no_grad()(functools.partial(torch._foreach_lerp_, targets, sources, 1 - MOMENTUM))
        if provider == "copy":
            return torch.no_grad()(functools.partial(torch._foreach_copy_, targets, sources))
        return functools.partial(bind(ema_update_, provider), targets, sources, MOMENTUM)


BENCHMARK = EmaUpdate()


def test_ema_update(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
