"""The queue's update in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor


@torch.no_grad()
def enqueue_(queue: Tensor, keys: Tensor, pointer: Tensor, skip: Tensor | None) -> None:
    """Puts the keys into the rows from `pointer` on, and moves it past them."""
    size, count = len(queue), len(keys)
    if count == 0:
        return
    rows = (pointer + torch.arange(count, device=queue.device)) % size
    keys, advance = keys.to(queue.dtype), torch.full_like(pointer, count)
    if skip is not None:
        keys = torch.where(skip, queue[rows], keys)
        advance = torch.where(skip, 0, advance)
    queue.index_copy_(0, rows, keys)
    pointer.add_(advance).remainder_(size)
