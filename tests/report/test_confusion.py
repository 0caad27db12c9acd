"""The picture of a confusion matrix."""

import re

import pytest

from sslfast.report.confusion import commonest_confusions, draw_confusion
from tests.report.markup import Markup

CONFUSION = [[0, 0, 8], [0, 2, 2], [1, 1, 10], [2, 0, 9], [2, 1, 1]]
NAMES = ["cat", "<b>dog</b>", "a long name of a class"]


def test_cells_have_the_shares_of_their_rows() -> None:
    drawn = Markup(draw_confusion("pre-trained", CONFUSION, NAMES))
    assert drawn.charts == ["What pre-trained takes for what: 18 of 30 images are right"]
    for part in ("80", "20", "100", "90", "10", "cat", "<b>dog</b>", "a long name …"):
        assert part in drawn.text


def test_right_and_wrong_cells_are_told_apart() -> None:
    drawn = draw_confusion("pre-trained", CONFUSION, NAMES)
    opacity = {kind: re.findall(rf'class="{kind}" fill-opacity="([\d.]+)"', drawn) for kind in ("right", "wrong")}
    assert opacity == {"right": ["0.8", "1"], "wrong": ["0.1", "0.2", "0.9"]}


@pytest.mark.parametrize(
    ("classes", "named", "numbered"), [(12, True, True), (30, True, False), (1000, False, False)]
)
def test_many_classes_go_without_numbers_and_names(classes: int, named: bool, numbered: bool) -> None:
    names = [f"class {number}" for number in range(classes)]
    confusion = [[number, (number + shift) % classes, 7] for number in range(classes) for shift in (0, 1)]
    drawn = draw_confusion("x", confusion, names)
    assert ("class 7" in Markup(drawn).text) == named
    assert ("50" in Markup(drawn).text) == numbered
    assert drawn.count("<path") == 2  # one a level
    assert len(drawn) < 100_000


def test_the_commonest_confusions_come_first() -> None:
    listed = Markup(commonest_confusions(CONFUSION, NAMES)).text
    assert listed.index("9 of 10") < listed.index("2 of 10") < listed.index("1 of 10")
    assert "90.0%" in listed
    assert "8 of 10" not in listed  # right
    many = [[number, number + 1, 100 - number] for number in range(9)]
    assert Markup(commonest_confusions(many, [str(n) for n in range(10)])).text.count(" of ") == 5
    assert "No image is confused." in commonest_confusions([[0, 0, 8]], NAMES)


def test_a_class_without_images_has_an_empty_row() -> None:
    for confusion in ([], [[0, 1, 0]], [[0, 0, 8], [1, 0, 0], [1, 1, 0]]):
        right = sum(images for _, _, images in confusion)
        drawn = Markup(draw_confusion("x", confusion, NAMES))
        assert drawn.charts == [f"What x takes for what: {right} of {right} images are right"]
        assert "No image is confused." in commonest_confusions(confusion, NAMES)
