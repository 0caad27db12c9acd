import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject
from tests.kernels.views import MEAN, STD, some_draws, some_images

SIZE = 35  # more pixels than a block of the C++ kernel


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Draws images; what is whole in their draws; and what may be scaled a little. Nothing is solarized."""
    draws = some_draws(4, 41, 30)
    wide = torch.promote_types(dtype, torch.float32)
    factors = draws[:, [6, 7, 8, 9, 12]].abs().to(wide)
    return some_images(4, 41, 30), draws[:, [0, 1, 2, 3, 4, 5, 10, 11]].to(torch.int64), factors


def call(images: Tensor, whole: Tensor, factors: Tensor, impl: str) -> Tensor:
    w, f = whole.to(factors.dtype), factors
    draws = torch.cat([w[:, :6], f[:, :4], w[:, 6:], f[:, 4:], torch.zeros_like(f[:, :1])], 1)
    return K.view_augment(images, draws, size=SIZE, mean=MEAN, std=STD, dtype=factors.dtype, impl=impl)


SUBJECT = Subject("view_augment", inputs, call, dot=False, autocast=False)
