import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(67, 24, generator=generator).div(3).to(dtype)
    labels = torch.randint(-3, 4, (67,), generator=generator)
    labels[7] = 2**40  # an anchor without a positive
    return features, labels


def call(features: Tensor, labels: Tensor, impl: str) -> Tensor:
    return K.sup_con(features, labels, temperature=0.1, reduction="none", impl=impl)


SUBJECT = Subject("sup_con", inputs, call, differentiable=(0,))
