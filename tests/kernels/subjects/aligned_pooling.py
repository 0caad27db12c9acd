import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(3, channels, 5, 7, generator=generator).to(dtype) for channels in (24, 6))


def call(features: Tensor, maps: Tensor, impl: str) -> Tensor:
    return K.aligned_pooling(features, maps, groups=2, impl=impl)


SUBJECT = Subject("aligned_pooling", inputs, call, differentiable=(0, 1), bit_equal_layouts=False)
