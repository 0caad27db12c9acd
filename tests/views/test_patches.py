"""Division, patch grids, shifts, rotations: what is cut where."""

import pytest
import torch

from sslfast.views import divide, patch_grid, rotations, shift_patches


def corners(patches):
    """Row and column of each patch's first pixel, (B, N, 2)."""
    return patches[:, :, :2, 0, 0]


def test_division_into_quarters_in_reading_order(places):
    images = places(8)
    patches = divide(images)
    assert patches.shape == (5, 4, 3, 4, 4)
    assert corners(patches)[0].tolist() == [[0, 0], [0, 4], [4, 0], [4, 4]]
    top, bottom = (torch.cat((patches[:, i], patches[:, i + 1]), dim=3) for i in (0, 2))
    assert torch.equal(torch.cat((top, bottom), dim=2), images)


@pytest.mark.parametrize(("side", "parts", "overlap", "patch"), [(32, 2, 4, 18), (31, 3, 1, 11), (9, 1, 5, 9)])
def test_division_with_overlap_covers_the_view(places, side, parts, overlap, patch):
    patches = divide(places(side), parts, overlap)
    assert patches.shape[1:] == (parts**2, 3, patch, patch)
    starts = corners(patches)[0, :parts, 1].tolist()
    assert starts == [i * (patch - overlap) for i in range(parts)]
    assert starts[-1] + patch == side


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


def test_rotations_turn_counterclockwise():
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(2, 3, 2, 2)
    turned = rotations(image)[1, :, 0].tolist()
    assert turned == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: divide(x, parts=3), "32 pixels cannot be divided into 3 equal parts.*take images of 30 pixels"),
        (lambda x: divide(x, parts=64), "expected 1 to 32 parts of images of 32 pixels, got parts=64"),
        (lambda x: divide(x, parts=0), "got parts=0"),
        (lambda x: divide(x, overlap=32), "expected an overlap from 0 to less than 32 pixels, got overlap=32"),
        (
            lambda x: patch_grid(x, patch=64),
            "patch of 1 to 32 pixels, the side of the images, got patch=64",
        ),
        (lambda x: patch_grid(x, patch=0), "got patch=0"),
        (lambda x: patch_grid(x[..., :3, :3]), "expected a patch of 1 to 3 pixels.*got patch=0"),
        (lambda x: patch_grid(x, patch=8, stride=0), "stride of at least a pixel, got stride=0"),
        (lambda x: patch_grid(x, patch=8, stride=5), "leave 4 of 32 pixels uncovered; take images of 28 pixels"),
        (lambda x: patch_grid(x[..., :20]), "expected images of shape"),
        (lambda x: rotations(x[0]), "rotations: expected images of shape"),
    ],
)
def test_what_cannot_be_cut_is_refused(places, call, message):
    with pytest.raises(ValueError, match=message):
        call(places(32))


@pytest.mark.parametrize("margin", [-1, 4])
def test_a_margin_that_leaves_nothing_is_refused(places, key, margin):
    with pytest.raises(ValueError, match=f"margin of less than half of 8 pixels, got margin={margin}"):
        shift_patches(patch_grid(places(32)), key(), margin)
