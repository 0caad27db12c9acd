"""Division: the parts in reading order, with and without overlap."""

import pytest
import torch

from sslfast.views import divide
from tests.views.images import corners


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: divide(x, parts=3), "32 pixels cannot be divided into 3 equal parts.*take images of 30 pixels"),
        (lambda x: divide(x, parts=64), "expected 1 to 32 parts of images of 32 pixels, got parts=64"),
        (lambda x: divide(x, parts=0), "got parts=0"),
        (lambda x: divide(x, overlap=32), "expected an overlap from 0 to less than 32 pixels, got overlap=32"),
    ],
)
def test_views_that_do_not_divide_are_refused(places, call, message):
    with pytest.raises(ValueError, match=message):
        call(places(32))
