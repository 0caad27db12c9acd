"""Ids of rows and keys for the tests of in_batch_info_nce."""

import torch
from torch import Tensor


def random_ids(n: int, m: int, different: int = 4, device: str | torch.device = "cpu") -> tuple[Tensor, Tensor]:
    """Draws ids of n rows and of m keys, int64: whole numbers below `different`."""
    generator = torch.Generator().manual_seed(1)
    row_ids, key_ids = (torch.randint(different, (rows,), generator=generator).to(device) for rows in (n, m))
    return row_ids, key_ids
