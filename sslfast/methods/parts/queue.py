"""A queue of past keys."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.errors import UsageError


class Queue(nn.Module):
    """The latest `size` keys, first in first out (He et al. 2020, arXiv:1911.05722).

    Pointer and count live on the device: no call makes the host wait for it.

    Args:
        size: how many keys it holds.
        dim: the width of a key.

    Attributes:
        keys: (size, dim) fp32; at the start random directions of length 1, drawn from torch's generator.
        pointer: 0-d int64, the row that the next key takes.
        filled: 0-d int64, how many rows hold keys that were enqueued.
        buffer_bounds: the least and the largest value of a buffer, by its name.
    """

    keys: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.size, self.dim = size, dim
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))
        self.buffer_bounds = {"pointer": (0, size - 1), "filled": (0, size)}

    @torch.no_grad()
    def enqueue(self, keys: Tensor, *, skip: Tensor | None = None) -> None:
        """Puts keys in place of the oldest ones. Call it after the backward pass, which may need those.

        Args:
            keys: (N, dim) with N <= size, which N need not divide; stored in fp32.
            skip: 0-d bool tensor; where true, nothing changes.

        Raises:
            ValueError: the keys do not fit.
        """
        if keys.ndim != 2 or keys.shape[1] != self.dim or keys.shape[0] > self.size:
            expected = f"(N <= {self.size}, {self.dim})"
            raise ValueError(f"Queue.enqueue: expected keys of shape {expected}, got {tuple(keys.shape)}")
        K.enqueue_(self.keys, keys, self.pointer, skip=skip)
        added = len(keys) if skip is None else len(keys) * ~skip
        self.filled.add_(added).clamp_(max=self.size)

    def extra_repr(self) -> str:
        return f"{self.size}, {self.dim}"


def queue_size(asked: int | None, keys_per_step: int, num_images: int) -> int:
    """Chooses the number of keys that a queue is to hold: whole batches, so that all of a batch leave together.

    A queue that held most of the data set would set against a query the keys of its own image from the epoch
    before. Unless another size is asked for it is therefore the largest power of two up to an eighth of the
    images, at most 65536, as on ImageNet and on CIFAR-10 in the code of MoCo's authors; the rule is ours.

    Args:
        asked: the size in the recipe, or None.
        keys_per_step: how many keys join in a step.
        num_images: how many images there are to train on.

    Raises:
        UsageError: the size asked for is not a multiple of `keys_per_step`.
    """
    if asked is None:
        eighth = min(65536, 1 << max(0, (num_images // 8).bit_length() - 1))
        return max(eighth // keys_per_step, 1) * keys_per_step
    if asked % keys_per_step:
        raise UsageError(
            f"method.queue_size={asked}: expected a multiple of the {keys_per_step} keys of a step; "
            f"take {-(-asked // keys_per_step) * keys_per_step}"
        )
    return asked
