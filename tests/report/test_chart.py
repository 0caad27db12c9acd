"""Charts."""

import math
import re

import pytest

from sslfast.report.chart import HEIGHT, MOST_POINTS, WIDTH, Line, chart, spread, thinned, ticks
from sslfast.report.page import stylesheet
from tests.report.markup import Markup


def drawn(*lines: Line, **options: bool) -> str:
    return chart("Title", lines, lambda value: f"{value:.6g}", "note", **options)


def places(figure: str, kind: str) -> list[tuple[float, float]]:
    """Reads the points of the path of a class in a chart."""
    path = re.search(rf'class="{kind}" d="([^"]*)"/>(?!</svg>)', figure)
    assert path
    return [(float(x), float(y)) for x, y in re.findall(r"([-\d.]+) ([-\d.]+)", path[1])]


def test_a_chart_is_to_scale() -> None:
    figure = drawn(Line("loss", "mean", [1, 2, 4], [3.0, 2.0, 1.0]))
    (x1, y1), (x2, y2), (x4, y4) = places(figure, "mean")
    assert (x4 - x2, y4 - y2) == pytest.approx((2 * (x2 - x1), y2 - y1), abs=0.2)
    assert 0 < x1 < x2 < x4 <= WIDTH
    assert 0 < y1 < y2 < y4 < HEIGHT
    assert Markup(figure).charts == ["Title. loss: 3 at epoch 1, 1 at epoch 4."]


@pytest.mark.parametrize(("epoch", "value"), [(0, 0.5), (3, 0.5), (1, 0.0), (1, -2.0), (1, 1e-12), (1, 1e30)])
def test_a_single_point_is_a_dot(epoch: float, value: float) -> None:
    figure = drawn(Line("loss", "mean", [epoch], [value]), from_zero=value > 0)
    assert 'class="mark"' in figure
    assert "nan" not in figure
    assert "inf" not in figure


def test_a_line_may_have_a_color_of_its_own() -> None:
    lines = [Line(name, "values", [0, 1], [1, 2], marked=True, color=f"var(--class-{name})") for name in "01"]
    figure = drawn(*lines)
    for name in "01":
        assert figure.count(f'style="stroke:var(--class-{name})"') == 3  # line, points, legend
    assert "style=" not in drawn(Line("loss", "values", [0, 1], [1, 2], marked=True))


def test_a_legend_and_bands_where_there_are_several_lines() -> None:
    band = [(0.1, 0.3), (0.2, 0.6)]
    figure = drawn(
        Line("a<b", "values", [0, 1], [0.2, 0.4], band), Line("random", "random", [0, 1], [0.2, 0.2], band)
    )
    text = Markup(figure).text
    assert "a<b" in text
    assert "random" in text
    assert len(places(figure, "band")) == len(places(figure, "random-band")) == 4


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (4.3, 6.2), (0, 0.0015), (0.07, 0.318), (-3, 1000), (1e-9, 2e-9)]
)
def test_ticks_are_round_and_few(low: float, high: float) -> None:
    found = ticks(low, high, 5)
    assert 2 <= len(found) <= 5
    assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in found)
    step = found[1] - found[0]
    assert round(step / 10 ** math.floor(math.log10(step * 1.0001)), 6) in (1, 2, 5)


def test_the_ends_of_equal_values_are_apart() -> None:
    assert spread([2.0, 2.0]) == (1.0, 3.0)
    assert spread([0.0]) == (-0.5, 0.5)
    assert spread([-2.0]) == (-3.0, -1.0)
    assert spread([1.0, 4.0, 2.0]) == (1.0, 4.0)


def test_a_long_line_keeps_its_extremes() -> None:
    x = [float(i) for i in range(100_000)]
    y = [math.sin(i) for i in x]
    y[34_567], y[34_568] = 9.0, -9.0
    points = thinned(x, y)
    assert len(points) <= MOST_POINTS
    assert points == sorted(points)
    assert (34_567.0, 9.0) in points
    assert (34_568.0, -9.0) in points
    assert thinned(x[:10], y[:10]) == list(zip(x[:10], y[:10], strict=True))


def test_text_is_legible_on_a_phone() -> None:
    """A phone is 390 pixels wide, of which margins take 32."""
    size = re.search(r"svg \{[^}]*font: (\d+)px", stylesheet())
    assert size
    assert int(size[1]) * (390 - 32) / WIDTH > 11
