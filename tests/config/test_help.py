"""Settings as help text."""

from dataclasses import field

import pytest
from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT
from sslfast.config.help import COLUMN, first_sentence, help_entries, name_lines


@dataclass(config=STRICT)
class Corner:
    angle: float = 90.0
    """Angle in degrees."""


@dataclass(config=STRICT)
class Base:
    width: int = 3
    """Width in pixels."""


@dataclass(config=STRICT)
class Shape(Base):
    span: tuple[float, float] = (0.5, 2.0)
    """Least and most."""
    corners: list[Corner] = field(default_factory=lambda: [Corner(), Corner()])
    """Corners, in order."""
    undescribed: int = 0


def help_lines(schema, prefix=""):
    return [line for _, lines in help_entries(schema, prefix) for line in lines]


def test_a_line_is_name_default_and_meaning():
    lines = help_lines(Shape, "shape.")
    assert [line.split() for line in lines] == [
        ["shape.width=3", "Width", "in", "pixels."],
        ["shape.span=[0.5,", "2.0]", "Least", "and", "most."],
        ["shape.corners=[...]", "Corners,", "in", "order."],
        ["shape.corners.0.angle=90.0", "Angle", "in", "degrees."],
    ]
    assert {
        line.index(word) for line, word in zip(lines, ["Width", "Least", "Corners", "Angle"], strict=True)
    } == {COLUMN}


def test_settings_of_a_base_can_be_left_out():
    assert [key for key, _ in help_entries(Shape)] == ["width", "span", "corners", "corners.0.angle"]
    assert [key for key, _ in help_entries(Shape, base=Base)] == ["span", "corners", "corners.0.angle"]


def test_meanings_are_wrapped_in_their_column(monkeypatch):
    @dataclass(config=STRICT)
    class Wide:
        short: int = 0
        """A meaning that does not fit into what is left of a line of sixty characters."""
        a_name_that_is_longer_than_its_column: int = 0
        """Meaning."""

    monkeypatch.setenv("COLUMNS", "60")
    lines = help_lines(Wide)
    assert max(map(len, lines)) <= 58
    assert lines[0].startswith("  short=0 ")
    assert all(line[:COLUMN].isspace() for line in lines[1:-2])
    assert lines[-2:] == ["  a_name_that_is_longer_than_its_column=0", f"{'':{COLUMN}}Meaning."]


def test_names_are_wrapped_and_stay_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    names = [f"a_name-{number}" for number in range(20)]
    lines = name_lines(names)
    assert max(map(len, lines)) <= 38
    assert "".join(lines).replace(",", " ").split() == names


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("MoCo (He et al. 2020). Second.", "MoCo (He et al. 2020)."),
        ("Of v1.5\nand v2.\n\nMore", "Of v1.5 and v2."),
        ("Unfinished", "Unfinished"),
        ("", ""),
    ],
)
def test_a_sentence_ends_at_a_full_stop_before_a_capital(text, first):
    assert first_sentence(text) == first
