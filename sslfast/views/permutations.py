"""The classes of Jigsaw: permutations that lie far apart."""

from __future__ import annotations

import math
from functools import cache
from itertools import permutations

import numpy as np
import torch
from torch import Tensor


@cache
def permutation_set(count: int, cells: int = 9) -> Tensor:
    """Chooses `count` permutations of range(cells), far apart in Hamming distance (Noroozi and Favaro 2016,
    algorithm 1).

    Beginning with the identity, the permutation is added whose least distance from those before is largest; of
    several, the one whose distances add up to most; of these, the first in lexicographic order. The paper looks at
    the sum alone, from a random beginning, which lets in permutations that differ in two places. A smaller set is
    the beginning of a larger one. Once made, a set is kept: 1000 of 9! take seconds.

    Args:
        count: how many.
        cells: the number of things that are permuted, up to 9.

    Returns:
        int64 (count, cells), on the CPU; not to be written to.

    Raises:
        ValueError: there are no so many permutations, or too many to look through.
    """
    if not 1 <= cells <= 9:
        raise ValueError(f"permutation_set: expected 1 to 9 cells, got cells={cells}")
    if not 1 <= count <= math.factorial(cells):
        raise ValueError(
            f"permutation_set: {cells} cells have 1 to {math.factorial(cells)} permutations, got count={count}"
        )
    every = np.array(list(permutations(range(cells))), dtype=np.uint8)
    columns = np.ascontiguousarray(every.T)
    most_agreed = np.zeros(len(every), dtype=np.int64)  # places in agreement with the nearest of the chosen
    agreed = np.zeros(len(every), dtype=np.int64)  # with all of the chosen, summed: below count * cells
    chosen = [0]
    while len(chosen) < count:
        same = (columns == every[chosen[-1], :, None]).sum(axis=0, dtype=np.uint8)
        np.maximum(most_agreed, same, out=most_agreed)
        agreed += same
        chosen.append(int(np.argmin(most_agreed * (count * cells) + agreed)))
    return torch.from_numpy(every[chosen].astype(np.int64))
