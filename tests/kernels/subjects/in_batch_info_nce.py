import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.subjects import Subject


def inputs(dtype: torch.dtype) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    query, keys = (torch.randn(rows, 24, generator=generator).div(3).to(dtype) for rows in (70, 90))
    row_ids, key_ids = (torch.randint(20, (rows,), generator=generator) for rows in (70, 90))
    return query, keys, row_ids, key_ids


def call(query: Tensor, keys: Tensor, row_ids: Tensor, key_ids: Tensor, impl: str) -> Tensor:
    return K.in_batch_info_nce(
        query, keys, temperature=0.1, offset=5, chunks=2, ids=(row_ids, key_ids), reduction="none", impl=impl
    )


SUBJECT = Subject("in_batch_info_nce", inputs, call, differentiable=(0, 1))
