"""Charts of lines over epochs, as SVG that the page's style colors.

A chart is drawn at about the width that it has on a phone, so that its text is legible there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sslfast.report.page import aside, escape

WIDTH, HEIGHT = 400, 240  # of a chart; its text is of size 13
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 8, 40  # around the plot
X_TICKS, Y_TICKS = 7, 5  # at most
MOST_POINTS = 400  # of a line: two for each pixel of the plot are more than can be seen


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: its name in the legend.
        kind: its class in the page's style.
        x: the epochs, in rising order.
        y: a finite value for each.
        band: the (lowest, highest) value around each, or none.
        marked: whether its points are marked.
        color: a color in place of its class's; empty: the class's.
    """

    name: str
    kind: str
    x: Sequence[float]
    y: Sequence[float]
    band: Sequence[tuple[float, float]] = ()
    marked: bool = False
    color: str = ""

    def style(self) -> str:
        """Returns the attribute of its color, if it has one of its own."""
        return f' style="stroke:{self.color}"' if self.color else ""


def chart(
    title: str,
    lines: Sequence[Line],
    form: Callable[[float], str],
    note: str,
    *,
    from_zero: bool = False,
    more: str = "",
) -> str:
    """Draws a figure: its title, a legend if there are several lines, the plot, and a note on how to read it.

    Args:
        title: what is drawn, escaped.
        lines: what is drawn, at least one point.
        form: a value as text.
        note: the note, escaped.
        from_zero: whether the axis of the values begins at 0.
        more: markup below the note.
    """
    values = [y for line in lines for y in [*line.y, *(bound for band in line.band for bound in band)]]
    last_epoch = max(x for line in lines for x in line.x)
    scale = Scale((0.0, last_epoch or 1.0), spread([*values, 0.0] if from_zero else values))
    parts = [_axes(scale, form), *(_band(scale, line) for line in lines if line.band)]
    parts += [_path(scale, line) for line in lines]
    legend = _legend(lines) if len(lines) > 1 else ""
    told = escape(described(title, lines, form))
    figure = [
        "<figure>",
        f"<figcaption><h3>{escape(title)}</h3>{legend}</figcaption>",
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{told}">',
        *parts,
        "</svg>",
        aside(note),
        more,
        "</figure>",
    ]
    return "\n".join(figure)


def described(title: str, lines: Sequence[Line], form: Callable[[float], str]) -> str:
    """Says what a chart shows, for those who do not see it: where each line begins and ends."""
    ends = (
        f"{line.name}: {form(line.y[0])} at epoch {line.x[0]:.4g}, {form(line.y[-1])} at epoch {line.x[-1]:.4g}"
        for line in lines
    )
    return f"{title}. {'. '.join(ends)}."


@dataclass(frozen=True)
class Scale:
    """The ranges of epochs and values, and where they stand in the drawing."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, epoch: float) -> float:
        low, high = self.x_range
        return round(LEFT + (epoch - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Returns the least and the greatest value, drawn apart where they are the same."""
    low, high = min(values), max(values)
    if low < high:
        return low, high
    margin = abs(low) / 2 or 0.5
    return low - margin, high + margin


def ticks(low: float, high: float, most: int) -> list[float]:
    """Chooses up to `most` multiples of 1, 2 or 5 times a power of ten in [low, high], nearly as many."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(
        power * factor
        for factor in (1, 2, 5, 10, 20)
        if math.floor(high / (power * factor)) - math.ceil(low / (power * factor)) < most
    )
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def thinned(x: Sequence[float], y: Sequence[float], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """Picks the points of a line, of many those that its outline needs: the extremes of each short stretch."""
    points = list(zip(x, y, strict=True))
    if len(points) <= most:
        return points
    length = math.ceil(2 * len(points) / most)
    kept = []
    for start in range(0, len(points), length):
        stretch = points[start : start + length]
        extremes = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(extremes)
    return kept


def _axes(scale: Scale, form: Callable[[float], str]) -> str:
    """Draws the grid with its numbers."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in ticks(*scale.y_range, Y_TICKS):
        y = scale.y(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4.5}" text-anchor="end">{escape(form(value))}</text>')
    for epoch in ticks(*scale.x_range, X_TICKS):
        parts.append(f'<text x="{scale.x(epoch)}" y="{bottom + 17}" text-anchor="middle">{epoch:.6g}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 5}" text-anchor="middle">epoch</text>')
    return "\n".join(parts)


def _band(scale: Scale, line: Line) -> str:
    lows = [f"{scale.x(x)} {scale.y(low)}" for x, (low, _) in zip(line.x, line.band, strict=True)]
    highs = [f"{scale.x(x)} {scale.y(high)}" for x, (_, high) in zip(line.x, line.band, strict=True)]
    kind = "random-band" if line.kind == "random" else "band"
    return f'<path class="{kind}" d="M{"L".join([*lows, *reversed(highs)])}Z"/>'


def _path(scale: Scale, line: Line) -> str:
    places = [f"{scale.x(x)} {scale.y(y)}" for x, y in thinned(line.x, line.y)]
    path = f'<path class="{line.kind}" d="M{"L".join(places)}"{line.style()}/>'
    if not line.marked and len(places) > 1:
        return path
    # A line of no length with round ends is a dot.
    return path + f'<path class="mark" d="{"".join(f"M{place}h0" for place in places)}"{line.style()}/>'


def _legend(lines: Sequence[Line]) -> str:
    items = (
        f'<li><svg viewBox="0 0 22 12" aria-hidden="true"><path class="{line.kind}" d="M0 6H22"{line.style()}/>'
        f"</svg>{escape(line.name)}</li>"
        for line in lines
    )
    return f'<ul class="legend">{"".join(items)}</ul>'
