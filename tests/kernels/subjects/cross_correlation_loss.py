import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    z1, noise = (torch.randn(67, 75, generator=generator) for _ in range(2))
    return z1.to(dtype), (z1 + noise).add(3).to(dtype)


def call(z1: Tensor, z2: Tensor, impl: str) -> Tensor:
    return K.cross_correlation_loss(z1, z2, lambd=0.05, impl=impl)


SUBJECT = Subject("cross_correlation_loss", inputs, call, differentiable=(0, 1), dot=False, autocast=False)
