"""Estimates how far two equal providers' times lie apart, by the calls of one."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

SPLITS = 300
LEVEL = 0.95  # of the splits that differ by no more
MIN_CALLS = 4  # two for each half


def noise(calls: Sequence[float]) -> float | None:
    """Estimates the share by which the medians of two equal providers would differ, in 19 runs of 20 at most.

    The calls of one provider are split in two halves, many times over: each two neighbors go to different halves,
    at random, as the calls of two providers that take turns. So what slows down the machine for a while falls on
    both. The halves' medians are of half as many calls as the provider's own, and differ by 1 / sqrt(2) more.

    Beside two providers on a simulated machine, disturbed now and then, of 30 calls or more, it is within 40 %
    of what they show, as its test holds; of 5 calls it says little.

    Args:
        calls: the times of one provider's calls, in their order.

    Returns:
        The share, 0.01 for 1 %; None for fewer calls than MIN_CALLS.
    """
    if len(calls) < MIN_CALLS:
        return None
    draw = random.Random(0)
    differences = []
    for _ in range(SPLITS):
        halves: tuple[list[float], list[float]] = ([], [])
        for pair in zip(calls[::2], calls[1::2], strict=False):
            first = draw.getrandbits(1)
            halves[first].append(pair[0])
            halves[1 - first].append(pair[1])
        one, other = map(statistics.median, halves)
        differences.append(abs(math.log(one / other)))
    at_most = sorted(differences)[math.ceil(LEVEL * SPLITS) - 1]
    return math.expm1(at_most / math.sqrt(2))
