"""The numbers of `philox.py`, sampled on the GPU: equal, bit for bit.

Names: o_ offsets, m_ mask, p_ pointer, b_ block in registers.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from sslfast.random.philox import SHUFFLE_STREAM


def permutation(seed: int, epoch: int, n: int, device: torch.device) -> Tensor:
    """Computes the order of an epoch: `philox.permutation`, int64 (n,), computed on the GPU."""
    keys = torch.empty(n, dtype=torch.int64, device=device)
    with torch.cuda.device_of(keys):
        key_kernel[(triton.cdiv(n, 1024),)](keys, n, seed, epoch, BN=1024, num_warps=4)
    return keys.argsort(stable=True)


@torch.library.custom_op("sslfast::uniform_draws", mutates_args=())
def uniform_draws(seed: int, epoch: int, indices: Tensor, stream: int, count: int) -> Tensor:
    """Samples `philox.uniform` on the GPU, without waiting for it.

    Args:
        seed: the run's seed.
        epoch: in [0, 2**32).
        indices: int64 (B,), positions of the samples in the data set, in [0, 2**32).
        stream: the purpose of the numbers, in [0, 2**32).
        count: numbers a sample.

    Returns:
        fp64 (B, count), in [0, 1).
    """
    numbers = torch.empty((len(indices), count), dtype=torch.float64, device=indices.device)
    n = numbers.numel()
    with torch.cuda.device_of(indices):
        uniform_kernel[(max(1, triton.cdiv(n, 1024)),)](
            indices.contiguous(), numbers, n, count, seed, epoch, stream, BN=1024, num_warps=4
        )
    return numbers


@uniform_draws.register_fake
def _(seed: int, epoch: int, indices: Tensor, stream: int, count: int) -> Tensor:
    return indices.new_empty((len(indices), count), dtype=torch.float64)


SHUFFLE = tl.constexpr(SHUFFLE_STREAM)
UNIT = tl.constexpr(2.0**-32)
TOP_BIT = tl.constexpr(2**31)


@triton.jit
def uniform(seed, epoch, o_index, stream, o_number):
    """Samples number `o_number` of the stream, in [0, 1), fp64: word o_number % 4 of the block o_number // 4."""
    word0, word1, word2, word3 = tl.philox(seed, o_index, epoch, stream, (o_number // 4).to(tl.uint32))
    o_word = o_number % 4
    word = tl.where(o_word < 2, tl.where(o_word == 0, word0, word1), tl.where(o_word == 2, word2, word3))
    return word.to(tl.float64) * UNIT


@triton.jit(do_not_specialize=["N", "seed", "epoch"])
def key_kernel(
    p_keys,  # [N] int64 out
    N,
    seed,
    epoch,
    BN: tl.constexpr,
):
    o_n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    zero = tl.zeros((BN,), tl.uint32)
    high, low, _, _ = tl.philox(seed, o_n.to(tl.uint32), epoch.to(tl.uint32), zero + SHUFFLE, zero)
    # With the top bit turned over, the keys are in the order as signed numbers that they are in as unsigned ones.
    keys = ((high ^ TOP_BIT).to(tl.uint64) << 32) | low.to(tl.uint64)
    tl.store(p_keys + o_n, keys.to(tl.int64, bitcast=True), mask=o_n < N)


@triton.jit(do_not_specialize=["N", "count", "seed", "epoch", "stream"])
def uniform_kernel(
    p_indices,  # [B] int64
    p_numbers,  # [B, count] fp64 out
    N,  # B count
    count,
    seed,
    epoch,
    stream,
    BN: tl.constexpr,
):
    o_n = tl.program_id(0).to(tl.int64) * BN + tl.arange(0, BN)
    m = o_n < N
    o_index = tl.load(p_indices + o_n // count, mask=m, other=0).to(tl.uint32)
    b_number = uniform(seed, epoch.to(tl.uint32), o_index, stream.to(tl.uint32), o_n % count)
    tl.store(p_numbers + o_n, b_number, mask=m)
