"""Pictures of predictions."""

import numpy as np
import pytest
from PIL import Image

from sslfast.data.masks import IGNORED
from sslfast.errors import UsageError
from sslfast.evaluation.segmentation.pictures import color, draw_prediction, tinted, tints_of


def test_classes_are_colored_and_the_background_is_not():
    image, mask = Image.new("RGB", (3, 1), (100, 100, 100)), np.array([[0, 1, IGNORED]])
    red, green, blue = (round(0.4 * 100 + 0.6 * value) for value in color(0))
    for classes, first in ((["background", "cat"], [100, 100, 100]), (["road", "cat"], [red, green, blue])):
        drawn = np.asarray(tinted(image, tints_of(classes)[mask]))[0].tolist()
        assert drawn[0] == first
        assert drawn[1] == [round(40 + 0.6 * value) for value in color(1)]
        assert drawn[2] == [193, 193, 193]


def test_colors_are_apart():
    colors = np.array([color(number) for number in range(21)])
    distances = np.abs(colors[:, None] - colors).sum(2)
    assert distances[~np.eye(21, dtype=bool)].min() > 30


def test_the_image_the_truth_and_the_prediction_above_the_names(tmp_path):
    image, mask = Image.new("RGB", (960, 480)), np.zeros((480, 960), dtype=np.uint8)
    draw_prediction(tmp_path / "x.jpg", image, mask, mask + 1, ["a", "b", "c"])
    assert image.size == (960, 480)
    drawn = Image.open(tmp_path / "x.jpg")
    assert drawn.size == (3 * 480 + 2 * 8, 240 + 18 * 3)
    for place, number in enumerate((None, 0, 1)):
        expected = [0.6 * value for value in color(number)] if number is not None else [0, 0, 0]
        assert drawn.getpixel((488 * place + 100, 100)) == pytest.approx(expected, abs=6)


def test_a_picture_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    mask = np.zeros((4, 4), dtype=np.uint8)
    with pytest.raises(UsageError, match="cannot write"):
        draw_prediction(tmp_path / "file" / "x.jpg", Image.new("RGB", (4, 4)), mask, mask, ["a"])
