"""Counter-based random numbers: the published generator, and purity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslfast.random.philox import permutation, philox, uniform


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # philox4x32-10 in Random123's known-answer tests
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_the_published_vectors(counter, key, expected):
    def parse(text):
        return np.array([int(word, 16) for word in text.split()], dtype=np.uint64)

    assert philox(parse(counter), parse(key)).tolist() == parse(expected).tolist()


def test_a_sample_has_the_same_numbers_in_any_batch():
    together = uniform(1, 2, np.arange(100), 3, 7)
    shuffled = np.random.default_rng(0).permutation(100)
    assert (uniform(1, 2, shuffled, 3, 7) == together[shuffled]).all()
    assert (uniform(1, 2, [42], 3, 7) == together[42]).all()
    assert (uniform(1, 2, [42], 3, 3) == together[42, :3]).all()


def test_every_argument_changes_the_numbers():
    base = {"seed": 1, "epoch": 2, "indices": [3], "stream": 4, "count": 8}
    reference = uniform(**base)
    for change in ({"seed": 2}, {"seed": 1 + 2**32}, {"epoch": 3}, {"indices": [4]}, {"stream": 5}):
        assert not np.isin(uniform(**{**base, **change}), reference).any(), change


def test_negative_seeds_are_taken():
    assert not np.isin(uniform(-1, 0, [0], 0, 8), uniform(1, 0, [0], 0, 8)).any()


def test_uniform_is_uniform_and_uncorrelated():
    numbers = uniform(0, 0, np.arange(20000), 0, 6)
    assert numbers.dtype == np.float64
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # Kolmogorov-Smirnov: sqrt(n) D exceeds 1.95 once in a thousand times.
    ordered = np.sort(numbers, axis=0)
    distance = abs(ordered - (np.arange(20000) + 0.5)[:, None] / 20000).max(axis=0)
    assert (distance * np.sqrt(20000) < 1.95).all()
    correlation = np.corrcoef(numbers.T) - np.eye(6)
    assert abs(correlation).max() < 5 / np.sqrt(20000)


@given(seed=st.integers(-(2**63), 2**63), epoch=st.integers(0, 10**6), n=st.integers(0, 200))
def test_permutation_holds_each_position_once(seed, epoch, n):
    order = permutation(seed, epoch, n)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(n))


def test_permutations_differ_by_seed_and_epoch():
    reference = permutation(0, 0, 1000)
    for other in (permutation(0, 1, 1000), permutation(1, 0, 1000)):
        assert (other == reference).sum() < 10
    assert (permutation(0, 0, 1000) == reference).all()
