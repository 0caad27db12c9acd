import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    z1, z2 = (torch.randn(35, 24, generator=generator).div(3).to(dtype) for _ in range(2))
    return z1, z2


def call(z1: Tensor, z2: Tensor, impl: str) -> Tensor:
    return K.nt_xent(z1, z2, temperature=0.1, reduction="none", impl=impl)


SUBJECT = Subject("nt_xent", inputs, call, differentiable=(0, 1))
