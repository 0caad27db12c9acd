import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(41, 1070, generator=generator).div(4)
    targets = torch.randn(41, 1070, generator=generator).softmax(1)
    return logits.to(dtype), targets.to(torch.promote_types(dtype, torch.float32))  # as Sinkhorn-Knopp's are


def call(logits: Tensor, targets: Tensor, impl: str) -> Tensor:
    return K.soft_cross_entropy(logits, targets, temperature=0.1, reduction="none", impl=impl)


SUBJECT = Subject("soft_cross_entropy", inputs, call, differentiable=(0, 1), dot=False, autocast=False)
