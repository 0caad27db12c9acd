"""The four rotations."""

import pytest
import torch

from sslfast.views import rotations


def test_rotations_turn_counterclockwise():
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(2, 3, 2, 2)
    turned = rotations(image)[1, :, 0].tolist()
    assert turned == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]


def test_images_that_are_not_square_are_refused(places):
    with pytest.raises(ValueError, match="rotations: expected images of shape"):
        rotations(places(32)[0])
