"""Cells of two crops that are near each other, against their distances one by one."""

import math

import torch

from sslfast.views import near_cells


def centers(box, side):
    """Computes the centers of a crop's cells, row by row, and a cell's diagonal."""
    top, left, height, width, mirrored = box.tolist()
    cells = [(i, side - 1 - j if mirrored else j) for i in range(side) for j in range(side)]
    places = [(top + height * (i + 0.5) / side, left + width * (j + 0.5) / side) for i, j in cells]
    return places, math.hypot(height / side, width / side)


def test_cells_are_near_by_the_larger_diagonal():
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(2, 20, 5, generator=generator)
    boxes[..., :2] *= 30
    boxes[..., 2:4] = 10 + 40 * boxes[..., 2:4]
    boxes[..., 4] = boxes[..., 4] < 0.5
    near = near_cells(*boxes, 3, 0.7)
    assert near.shape == (20, 9, 9)
    for first, second, found in zip(*boxes, near, strict=True):
        (places1, diagonal1), (places2, diagonal2) = centers(first, 3), centers(second, 3)
        expected = [[math.dist(a, b) <= 0.7 * max(diagonal1, diagonal2) for b in places2] for a in places1]
        assert found.tolist() == expected
    assert near.any()
    assert not near.all()


def test_a_crop_and_its_mirror_image_are_near_where_they_show_the_same():
    box, mirrored = torch.tensor([[2.0, 3, 8, 8, 0]]), torch.tensor([[2.0, 3, 8, 8, 1]])
    near = near_cells(box, mirrored, 2, 0.5)[0]
    assert near.nonzero().tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]
    assert not near_cells(box, box + torch.tensor([50.0, 0, 0, 0, 0]), 2, 0.7).any()
