"""The random numbers of a batch, by a key: those of `philox.py`, sampled on the device where the indices lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from sslfast.random.on_device import samples_itself
from sslfast.random.philox import KEY_STEPS, MULTIPLIERS, ROUNDS

LOW = 0xFFFFFFFF
FIRST_STREAM = 2**31  # the streams below are the augmentations'
STREAMS_PER_VIEW = 16


class Stream(IntEnum):
    """The purpose of random numbers: those of different streams are independent."""

    SHIFT = 0
    CELL = 1
    PERMUTATION = 2
    NEIGHBOR = 3
    PLACE = 4
    DROPPED = 5
    NOISE = 6
    GEOMETRY = 7
    COLOR = 8
    FLIP = 9
    COMBINATION = 10
    CENTROID = 11
    WEIGHT = 12
    NEGATIVE = 13
    NOISE_PLACE = 14
    MASK = 15


@dataclass(frozen=True)
class Key:
    """The key of a batch's random numbers, which depend on nothing else.

    Attributes:
        seed: of the run, in [0, 2**63).
        epoch: in [0, 2**32); a 0-d int64 tensor where a captured graph is to be replayed in later epochs.
        index: int64 (B,), positions of the samples in the data set, in [0, 2**32).
        view: which of the sample's views is worked on; their numbers are independent.
    """

    seed: int
    epoch: int | Tensor
    index: Tensor
    view: int = 0

    def uniform(self, stream: Stream, *shape: int) -> Tensor:
        """Samples the uniform distribution over [0, 1), in steps of 2**-32: float64 (B, *shape)."""
        count = math.prod(shape)
        number = FIRST_STREAM + self.view * STREAMS_PER_VIEW + stream
        if isinstance(self.epoch, int) and samples_itself(self.index.device):
            from sslfast.random import triton_kernels

            numbers = triton_kernels.uniform_draws(self.seed, self.epoch, self.index, number, count)
        else:
            words = _words(self.seed, self.epoch, self.index, number, -(-count // 4))
            numbers = words[:, :count].double() * 2.0**-32
        return numbers.view(-1, *shape)

    def integers(self, stream: Stream, bound: int | Tensor, *shape: int) -> Tensor:
        """Samples integers from 0 to bound - 1: int64 (B, *shape). The bound may be a tensor that broadcasts."""
        return (self.uniform(stream, *shape) * bound).long()

    def normal(self, stream: Stream, *shape: int) -> Tensor:
        """Samples the standard normal distribution (Box and Muller 1958): float64 (B, *shape)."""
        u, v = self.uniform(stream, 2, *shape).unbind(1)
        return (-2 * torch.log1p(-u)).sqrt() * torch.cos(2 * math.pi * v)


def _words(seed: int, epoch: int | Tensor, index: Tensor, stream: int, num_blocks: int) -> Tensor:
    """Samples random 32-bit words held in int64, (B, 4 * num_blocks): the bits of `philox.words`.

    A product of 32-bit words does not fit into int64, but wraps to the right 64 bits. Some 90 launches on a GPU,
    where `triton_kernels.uniform_draws` needs one.
    """
    c3 = torch.arange(num_blocks, device=index.device).expand(len(index), num_blocks)
    c0, c1, c2 = index[:, None].expand_as(c3), torch.zeros_like(c3) + epoch, torch.full_like(c3, stream)
    k0, k1 = seed & LOW, seed >> 32 & LOW
    m0, m1 = MULTIPLIERS.tolist()
    step0, step1 = KEY_STEPS.tolist()
    for _ in range(ROUNDS):
        left, right = c0 * m0, c2 * m1
        c0, c1, c2, c3 = (right >> 32 & LOW) ^ c1 ^ k0, right & LOW, (left >> 32 & LOW) ^ c3 ^ k1, left & LOW
        k0, k1 = k0 + step0 & LOW, k1 + step1 & LOW
    return torch.stack((c0, c1, c2, c3), dim=2).flatten(1)
