import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(rows, 24, generator=generator).div(3).to(dtype) for rows in (33, 33, 301))


def call(query: Tensor, positive: Tensor, queue: Tensor, impl: str) -> Tensor:
    return K.info_nce(query, positive, queue, temperature=0.1, reduction="none", impl=impl)


SUBJECT = Subject("info_nce", inputs, call, differentiable=(0, 1))
