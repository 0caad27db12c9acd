"""The queue's update in plain PyTorch: the specification of the op."""

import torch
from torch import Tensor


@torch.no_grad()
def enqueue_(queue: Tensor, keys: Tensor, pointer: Tensor, skip: Tensor | None) -> None:
    """Puts the keys into the rows from `pointer` on, and moves it past them."""
    size, count = len(queue), len(keys)
    if count == 0:
        return
    first = pointer % size  # before anything is added, which the largest numbers leave no room for
    rows = (first + torch.arange(count, device=queue.device)) % size
    keys, following = keys.to(queue.dtype), (first + count) % size
    if skip is not None:
        keys = torch.where(skip, queue[rows], keys)
        following = torch.where(skip, pointer, following)
    queue.index_copy_(0, rows, keys)
    pointer.copy_(following)
