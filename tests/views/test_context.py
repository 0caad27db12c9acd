"""Context prediction's pairs."""

import pytest
import torch
from scipy import stats

from sslfast.views import context_pair

B = 400
AROUND = torch.tensor([[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]])


def test_the_neighbor_lies_where_its_class_says(places, key):
    patches, position = context_pair(places(120, B), key(B), patch=20, gap=10, jitter=3)
    assert patches.shape == (B, 2, 3, 20, 20)
    corner = patches[:, :, :2, 0, 0]
    moved = corner[:, 1] - corner[:, 0] - 30 * AROUND[position]
    assert moved.min() == -6  # both patches are moved by up to 3
    assert moved.max() == 6
    assert corner.min() >= 0
    assert (patches[:, :, :2, -1, -1] - corner == 19).all()
    assert stats.chisquare(position.bincount(minlength=8).numpy()).pvalue > 1e-3


def test_the_place_of_the_center_does_not_tell_the_class(places, key):
    patches, position = context_pair(places(120, B), key(B), patch=20, gap=10, jitter=0)
    row = patches[:, 0, 0, 0, 0]
    assert row.min() == 30
    assert row.max() == 120 - 20 - 30
    above, below = row[position < 3], row[position > 4]
    assert stats.ks_2samp(above.numpy(), below.numpy()).pvalue > 1e-3


def test_the_papers_numbers_fit_398_pixels(places, key):
    patches, _ = context_pair(places(398, 2), key(2))
    assert patches.shape == (2, 2, 3, 96, 96)
    assert context_pair(places(32, 2), key(2), patch=7)[0].shape[-1] == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected a patch of 1 to 64 pixels, the side of the images, got patch=96"),
        ({"patch": 20}, "3 patches of 20 pixels with gap=10 and jitter=1 need 82 pixels.*64; take patch=15"),
        ({"patch": 0}, "got patch=0"),
        ({"patch": 8, "gap": -1}, "gap=-1"),
    ],
)
def test_patches_that_do_not_fit_are_refused(places, key, settings, message):
    with pytest.raises(ValueError, match=message):
        context_pair(places(64), key(), **settings)


@pytest.mark.parametrize("side", range(8, 400, 7))
def test_the_patch_that_an_error_suggests_fits(places, key, side):
    patch = side * 96 // 398
    assert context_pair(places(side, 1), key(1), patch=patch)[0].shape[-1] == patch
