"""The masks of objects: by their outlines, and by COCO's runs."""

import numpy as np
import pytest
from matplotlib.path import Path

from sslfast.data.annotations.objects import Objects, inside
from sslfast.data.annotations.runs import read_runs


def test_a_square_covers_its_area():
    square = np.array([[2, 1], [7, 1], [7, 4], [2, 4]], dtype=np.float32)
    expected = np.zeros((6, 9), dtype=bool)
    expected[1:4, 2:7] = True
    for outline in (square, square[::-1], np.roll(square, 1, axis=0)):
        assert np.array_equal(inside(outline, 6, 9), expected)


def test_what_lies_beyond_the_image_is_cut():
    outline = np.array([[-5, -5], [50, -5], [50, 3], [-5, 3]], dtype=np.float32)
    expected = np.zeros((6, 9), dtype=bool)
    expected[:3] = True
    assert np.array_equal(inside(outline, 6, 9), expected)


def test_random_outlines_enclose_the_centers_that_matplotlib_finds():
    rng = np.random.default_rng(0)
    row, column = np.indices((48, 48)) + 0.5
    for _ in range(20):
        outline = rng.uniform(-5, 53, (8, 2)).astype(np.float32)  # it crosses itself
        expected = Path(outline, closed=False).contains_points(np.stack([column.ravel(), row.ravel()], axis=1))
        assert np.array_equal(inside(outline, 48, 48).ravel(), expected)


def test_two_outlines_are_one_object():
    squares = [np.array([[x, 0], [x + 2, 0], [x + 2, 2], [x, 2]], dtype=np.float32) for x in (0, 4)]
    objects = Objects(np.zeros((1, 4), "f4"), np.zeros(1, np.int64), np.zeros(1, bool), [squares])
    assert objects.masks(3, 8).astype(int).tolist() == [[[1, 1, 0, 0, 1, 1, 0, 0]] * 2 + [[0] * 8]]


def test_a_subset_keeps_outlines_and_runs():
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], dtype=np.float32)
    every = Objects(
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.array([0, 1, 1]),
        np.array([False, True, False]),
        [[square], [], [square + 1]],
        {1: read_runs([2, 3, 7], 3, 4)},
    )
    part = every.subset(np.array([1, 2]), np.array([5, 6]))
    assert part.boxes.tolist() == every.boxes[1:].tolist()
    assert (part.labels.tolist(), part.ignored.tolist()) == ([5, 6], [True, False])
    assert np.array_equal(part.masks(3, 4), every.masks(3, 4)[1:])
    boxes_alone = Objects(every.boxes, every.labels, every.ignored).subset(np.array([0]), np.array([0]))
    assert boxes_alone.polygons is None


def test_boxes_alone_have_no_masks():
    objects = Objects(np.zeros((0, 4), "f4"), np.zeros(0, np.int64), np.zeros(0, bool))
    with pytest.raises(ValueError, match="boxes only"):
        objects.masks(3, 8)


def test_runs_are_cocos():
    mask_api = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for density in (0.0, 0.01, 0.5, 1.0):
        mask = rng.random((37, 1009)) < density
        encoded = mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))
        runs = read_runs(encoded["counts"].decode(), *encoded["size"])
        assert np.array_equal(runs.mask(), mask)
        assert np.array_equal(read_runs(runs.lengths.tolist(), 37, 1009).mask(), mask)


@pytest.mark.parametrize("counts", [[3, 4], [-1, 13], "", "\x01", "P" * 30, [[6, 6]]])
def test_damaged_runs_are_refused(counts):
    with pytest.raises(ValueError, match="expected"):
        read_runs(counts, 3, 4)
