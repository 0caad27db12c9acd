"""The parts of settings: what --help shows of them."""

import pytest
from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT
from sslfast.config.parts import ALL, overview, part, part_text
from sslfast.errors import UsageError


@dataclass(config=STRICT)
class Paper:
    width: int = 210
    """Width in millimeters."""
    color: str = "white"
    """Color of both sides."""


@dataclass(config=STRICT)
class Pen:
    width: float = 0.5
    """Width of a line."""


PARTS = {
    "paper": part("paper", "What is written on.", Paper, "paper."),
    "tool.pen": part("pen", "A pen.", Pen, "pen."),
}


def words(text):
    return [line.split() for line in text.splitlines()]


def test_a_part_is_its_title_and_its_settings():
    assert words(part_text(PARTS, "paper")) == [
        ["paper", "What", "is", "written", "on."],
        ["paper.width=210", "Width", "in", "millimeters."],
        ["paper.color=white", "Color", "of", "both", "sides."],
    ]
    assert part_text(PARTS, "pen") == part_text(PARTS, "tool.pen")
    assert part_text(PARTS, ALL) == f"{part_text(PARTS, 'paper')}\n\n{part_text(PARTS, 'pen')}"


def test_a_setting_is_found_in_every_part_that_has_it():
    lines = words(part_text(PARTS, "width"))
    assert [line[0] for line in lines if line] == ["paper", "paper.width=210", "pen", "pen.width=0.5"]
    assert "pen" not in part_text(PARTS, "paper.width")
    with pytest.raises(UsageError, match="--help 'widht': no part or setting has this name; did you mean 'width'"):
        part_text(PARTS, "widht")
    with pytest.raises(UsageError, match="--help 'dth': no part or setting"):  # the end of a word is no name
        part_text(PARTS, "dth")


def test_a_part_can_go_without_the_settings_of_another():
    of_color = PARTS["paper"].only("color")
    assert PARTS["paper"].without(of_color).settings.keys() == {"paper.width"}


def test_the_overview_has_a_line_each_and_all():
    _, *lines = words(overview({"paper": "What is written on."}))
    assert [line[0] for line in lines] == ["paper", ALL]
