"""Montages: patches in their places."""

import pytest
import torch

from sslfast.views import divide, montage


@pytest.mark.parametrize(("side", "parts"), [(8, 2), (9, 3), (6, 1)])
def test_a_montage_of_the_parts_is_the_view(places, side, parts):
    images = places(side)
    joined = montage(divide(images, parts))
    assert torch.equal(joined, images)
    assert joined.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 3, 4, 4), "montage: expected a square number of patches an image, got 3"),
        ((2, 4, 3, 4, 5), r"montage: expected patches of shape \(B, N, C, p, p\), got \(2, 4, 3, 4, 5\)"),
        ((4, 3, 4, 4), "got \\(4, 3, 4, 4\\)"),
    ],
)
def test_what_makes_no_square_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        montage(torch.zeros(shape))
