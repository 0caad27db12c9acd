"""Jigsaw's cells and orders."""

import itertools

import pytest
import torch

from sslfast.views import jigsaw_cells, normalize_patches, permuted, random_order


@pytest.mark.parametrize(("side", "patch", "slack"), [(225, 64, 11), (255, 64, 21), (32, 8, 2), (27, 9, 0)])
def test_patches_lie_at_random_places_inside_their_cells(places, key, side, patch, slack):
    cells = jigsaw_cells(places(side, batch=60), key(batch=60), patch=patch)
    assert cells.shape == (60, 9, 3, patch, patch)
    cell = side // 3
    start = torch.tensor([[r * cell, c * cell] for r in range(3) for c in range(3)]) + side % 3 // 2
    moves = cells[:, :, :2, 0, 0] - start
    assert moves.min() == 0
    assert moves.max() == slack
    assert (cells[:, :, :2, -1, -1] - cells[:, :, :2, 0, 0] == patch - 1).all()
    if slack:
        assert len({tuple(move) for move in moves[:, 4].tolist()}) > min(6, slack)


def test_the_default_patch_keeps_the_papers_proportion(places, key):
    assert jigsaw_cells(places(225, 1), key(1)).shape[-1] == 64
    assert jigsaw_cells(places(32, 1), key(1)).shape[-1] == 8
    assert jigsaw_cells(places(3, 1), key(1)).shape[-1] == 1


def test_each_channel_of_each_patch_is_normalized_apart():
    patches = torch.rand(4, 9, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 5 + 3
    patches[0, 0, 1] = 7
    normal = normalize_patches(patches)
    torch.testing.assert_close(normal.mean((3, 4)), torch.zeros(4, 9, 3), atol=1e-5, rtol=0)
    spread = normal.std((3, 4), correction=0)
    assert spread[0, 0, 1] == 0
    spread[0, 0, 1] = 1
    torch.testing.assert_close(spread, torch.ones(4, 9, 3))


def test_less_than_half_a_gray_level_is_no_contrast():
    flat = torch.tensor([1.0, 1.002]).view(1, 1, 1, 1, 2)
    assert normalize_patches(flat).abs().max() < 0.2


def test_permuted_puts_a_sample_in_its_own_order():
    patches = torch.arange(6.0).view(2, 3, 1, 1, 1)
    order = torch.tensor([[2, 0, 1], [0, 2, 1]])
    assert permuted(patches, order).flatten(1).tolist() == [[2, 0, 1], [3, 5, 4]]


def test_random_orders_are_permutations_and_all_alike(key):
    orders = random_order(key(batch=2400), 4)
    counts = dict.fromkeys(itertools.permutations(range(4)), 0)
    for order in orders.tolist():
        counts[tuple(order)] += 1
    assert sum(counts.values()) == 2400
    assert 60 < min(counts.values()) < max(counts.values()) < 145


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, key: jigsaw_cells(x, key, patch=11), "expected a patch of 1 to 10 pixels, the side of a cell"),
        (lambda x, key: jigsaw_cells(x, key, cells=33), "expected 1 to 32 cells a side.*got cells=33"),
        (lambda x, key: jigsaw_cells(x, key, cells=0), "got cells=0"),
    ],
)
def test_impossible_puzzles_are_refused(places, key, call, message):
    with pytest.raises(ValueError, match=message):
        call(places(32), key())
