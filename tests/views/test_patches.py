"""CPC's patches: the grid, and their shifts."""

import pytest
import torch

from sslfast.views import patch_grid, shift_patches
from tests.views.images import corners


@pytest.mark.parametrize(("side", "patch", "stride"), [(256, 64, 32), (64, 16, 8), (32, 8, 4)])
def test_patch_grid_is_7_by_7_with_half_overlap(places, side, patch, stride):
    patches = patch_grid(places(side, batch=2))
    assert patches.shape == (2, 49, 3, patch, patch)
    expected = [[row * stride, column * stride] for row in range(7) for column in range(7)]
    assert corners(patches)[1].tolist() == expected
    assert patches[1, :, 2].unique().tolist() == [1]


def test_shifted_patches_are_moved_windows_framed_by_zeros(places, key):
    patches = patch_grid(places(64) + 1)
    shifted = shift_patches(patches, key(), margin=2)
    assert shifted.shape == patches.shape
    inside = shifted[..., 2:-2, 2:-2]
    assert shifted.sum() == inside.sum()
    moves = corners(inside) - corners(patches)
    assert set(moves.flatten().tolist()) == {0, 1, 2, 3, 4}
    expected = patches[1, 20, :, int(moves[1, 20, 0]) :, int(moves[1, 20, 1]) :][:, :12, :12]
    assert torch.equal(inside[1, 20], expected)
    assert torch.equal(shift_patches(patches, key(), margin=0), patches)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: patch_grid(x, patch=64),
            "patch of 1 to 32 pixels, the side of the images, got patch=64",
        ),
        (lambda x: patch_grid(x, patch=0), "got patch=0"),
        (lambda x: patch_grid(x[..., :3, :3]), "expected a patch of 1 to 3 pixels.*got patch=0"),
        (lambda x: patch_grid(x, patch=8, stride=0), "stride of at least a pixel, got stride=0"),
        (lambda x: patch_grid(x, patch=8, stride=5), "leave 4 of 32 pixels uncovered; take images of 28 pixels"),
        (lambda x: patch_grid(x[..., :20]), "expected images of shape"),
    ],
)
def test_what_cannot_be_cut_is_refused(places, call, message):
    with pytest.raises(ValueError, match=message):
        call(places(32))


@pytest.mark.parametrize("margin", [-1, 4])
def test_a_margin_that_leaves_nothing_is_refused(places, key, margin):
    with pytest.raises(ValueError, match=f"margin of less than half of 8 pixels, got margin={margin}"):
        shift_patches(patch_grid(places(32)), key(), margin)
