"""InfoNCE with a queue, normalized inputs: from a small batch on a CPU to large batches on a GPU.

`flash` is PyTorch's flash attention used for it: with the queue as keys and as values it gives the log-sum-exp of
the negatives and their weighted mean, which the loss and its gradient follow from.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from sslfast.benchmarks.ops.benchmark import PASSES, Benchmark, Step, Work, bind, of_pass
from sslfast.kernels import info_nce

TEMPERATURE = 0.07


@dataclass(frozen=True)
class InfoNCECase:
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
def inputs(case: InfoNCECase, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator(device).manual_seed(0)
    query, positive, queue = (
        F.normalize(torch.randn(rows, case.d, generator=generator, device=device), dim=1).to(case.dtype)
        for rows in (case.n, case.n, case.k)
    )
    return query.requires_grad_(), positive, queue


def flash(query: Tensor, positive: Tensor, queue: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the loss and its gradient to the query."""
    attend = torch.ops.aten._scaled_dot_product_flash_attention
    if query.device.type == "cpu":
        attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    keys = queue[None, None]
    mean, lse = attend(query[None, None], keys, keys, scale=1 / TEMPERATURE)[:2]
    mean, lse = mean[0, 0].float(), lse.flatten()  # the negatives' weighted mean and log-sum-exp
    positive_logit = (query * positive).sum(1).float() / TEMPERATURE
    loss = torch.logaddexp(positive_logit, lse) - positive_logit
    share = torch.exp(lse - positive_logit - loss)[:, None]  # the negatives' share of the softmax
    return loss.mean(), share * (mean - positive) / (TEMPERATURE * len(query))


class InfoNCE(Benchmark):
    op = "info_nce"
    passes = PASSES

    def providers(self, device: torch.device) -> list[str]:
        return [*super().providers(device), "flash"]

    def work(self, case: InfoNCECase, pass_name: str) -> Work:
        products = 1 if pass_name == "forward" else 2
        return Work(2 * products * case.n * case.k * case.d, (3 * case.n + case.k) * case.d * case.dtype.itemsize)

    def cases(self, device: torch.device) -> list[InfoNCECase]:
        if device.type == "cpu":
            shapes, dtypes = ON_CPU, (torch.float32,)
        else:
            shapes, dtypes = ON_GPU, (torch.bfloat16,)
        return [InfoNCECase(*shape, dtype) for shape in shapes for dtype in dtypes]

    def step(self, case: InfoNCECase, provider: str, pass_name: str, device: torch.device) -> Step | None:
        query, positive, queue = inputs(case, device)
        if provider == "flash":
            if case.d > 256 or pass_name == "backward":
                return None  # wider than it takes; and its forward pass gives the gradient
            return lambda: flash(query.detach(), positive, queue)
        loss = bind(info_nce, provider)
        return of_pass(pass_name, lambda: loss(query, positive, queue, temperature=TEMPERATURE), [query])


BENCHMARK = InfoNCE()


def test_info_nce(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
