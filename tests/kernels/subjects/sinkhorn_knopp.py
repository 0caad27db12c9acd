import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(41, 70, generator=generator).div(4).to(dtype),)


def call(scores: Tensor, impl: str) -> Tensor:
    return K.sinkhorn_knopp(scores, impl=impl)


SUBJECT = Subject("sinkhorn_knopp", inputs, call, dot=False, autocast=False)
