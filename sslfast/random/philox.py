"""Random numbers as a pure function of (seed, epoch, sample, stream).

A counter-based generator keeps no state: whatever process asks, in whatever order, after whatever resume, the
numbers of a sample in an epoch are the same. Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy
as 1, 2, 3") needs only 32-bit integer products, so that a GPU kernel can sample the same numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], dtype=np.uint64)
KEY_STEPS = np.array([0x9E3779B9, 0xBB67AE85], dtype=np.uint64)
LOW = np.uint64(0xFFFFFFFF)
WORD = np.uint64(32)
ROUNDS = 10
SHUFFLE_STREAM = 0xFFFFFFFF  # streams count up from 0 for the views; the order of an epoch takes the last


def philox(counter: NDArray[np.uint64], key: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scrambles 128-bit counters under a 64-bit key by Philox 4x32-10.

    Args:
        counter: (..., 4), the counter's 32-bit words, least significant first, held in uint64.
        key: (2,), the key's 32-bit words, held in uint64.

    Returns:
        (..., 4) random 32-bit words held in uint64.
    """
    c0, c1, c2, c3 = np.moveaxis(counter, -1, 0)
    k0, k1 = key
    for _ in range(ROUNDS):
        left, right = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]  # 32 x 32 -> 64 bits: no overflow
        c0, c1, c2, c3 = (right >> WORD) ^ c1 ^ k0, right & LOW, (left >> WORD) ^ c3 ^ k1, left & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return np.stack((c0, c1, c2, c3), axis=-1)


def words(seed: int, epoch: int, indices: ArrayLike, stream: int, count: int) -> NDArray[np.uint64]:
    """Samples `count` random 32-bit words a sample, held in uint64: (len(indices), count).

    The seed is the key (modulo 2**64); the counter's words are (index, epoch, stream, block of four words).
    """
    samples = np.asarray(indices, dtype=np.uint64)
    num_blocks = -(-count // 4)
    counter = np.empty((len(samples), num_blocks, 4), dtype=np.uint64)
    counter[..., 0] = samples[:, None]
    counter[..., 1] = epoch
    counter[..., 2] = stream
    counter[..., 3] = np.arange(num_blocks)
    key = np.array([seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF], dtype=np.uint64)
    return philox(counter, key).reshape(len(samples), 4 * num_blocks)[:, :count]


def uniform(seed: int, epoch: int, indices: ArrayLike, stream: int, count: int) -> NDArray[np.float64]:
    """Samples the uniform distribution over [0, 1), in steps of 2**-32.

    Args:
        seed: the run's seed.
        epoch: in [0, 2**32).
        indices: (B,) positions of the samples in the data set, each in [0, 2**32).
        stream: the purpose of the numbers, in [0, 2**32): different streams are independent.
        count: numbers a sample; the first k do not depend on how many follow.

    Returns:
        float64 (B, count).
    """
    return words(seed, epoch, indices, stream, count).astype(np.float64) * 2.0**-32


def permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """Samples the order of an epoch: a permutation of range(n), int64.

    Sorting 64-bit random keys, instead of numpy's own shuffle, keeps the order the same over numpy's versions.
    """
    high, low = words(seed, epoch, np.arange(n), SHUFFLE_STREAM, 2).T
    return np.argsort(high << WORD | low, kind="stable").astype(np.int64, copy=False)
