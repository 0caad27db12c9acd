"""The set of permutations that lie far apart."""

import time

import pytest
import torch

from sslfast.views import permutation_set


def distances(permutations):
    apart = (permutations[:, None] != permutations[None]).sum(-1)
    return apart[~torch.eye(len(permutations), dtype=torch.bool)]


def test_permutations_lie_far_apart():
    permutations = permutation_set(100)
    assert permutations.shape == (100, 9)
    assert (permutations.sort(dim=1).values == torch.arange(9)).all()
    assert distances(permutations).min() == 6
    assert distances(permutations).float().mean() > 8.07


@pytest.mark.slow
def test_2000_permutations():
    permutations = permutation_set(2000)
    assert distances(permutations).min() == 4
    assert distances(permutations).float().mean() > 8
    assert torch.equal(permutations[:100], permutation_set(100))


def test_permutations_are_kept():
    first = permutation_set(10)
    start = time.perf_counter()
    assert permutation_set(10) is first
    assert time.perf_counter() - start < 0.01


def test_every_permutation_is_found_once():
    assert len({tuple(row) for row in permutation_set(24, cells=4).tolist()}) == 24


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: permutation_set(25, cells=4), "4 cells have 1 to 24 permutations, got count=25"),
        (lambda: permutation_set(0), "got count=0"),
        (lambda: permutation_set(5, cells=16), "expected 1 to 9 cells, got cells=16"),
    ],
)
def test_impossible_sets_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
