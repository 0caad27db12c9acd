import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(rows, 24, generator=generator).to(dtype) for rows in (33, 150))


def call(query: Tensor, queue: Tensor, impl: str) -> tuple[Tensor, Tensor]:
    return K.nearest_neighbor(query, queue, k=3, impl=impl)


SUBJECT = Subject("nearest_neighbor", inputs, call, impls=("cpp", "triton"))
