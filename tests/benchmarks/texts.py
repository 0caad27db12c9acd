"""The texts of a picture: where they stand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def check_texts(figure: Figure) -> None:
    """Asserts that no text of a figure covers another or leaves the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    not_drawn = {*beyond_the_ends(figure)}
    texts = [
        text for text in figure.findobj(Text) if text.get_text() and text.get_visible() and text not in not_drawn
    ]
    boxes = {text: text.get_window_extent(canvas.get_renderer()) for text in texts}
    for text, box in boxes.items():
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{text.get_text()!r} leaves the picture"
    for (one, box), (other, other_box) in itertools.combinations(boxes.items(), 2):
        assert not box.overlaps(other_box), f"{one.get_text()!r} covers {other.get_text()!r}"


def beyond_the_ends(figure: Figure) -> Iterator[Text]:
    """Yields the labels of ticks beyond the ends of an axis, which matplotlib keeps and does not draw."""
    for panel in figure.axes:
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            for ticks in (axis.get_major_ticks(), axis.get_minor_ticks()):
                for tick in ticks:
                    if not low <= tick.get_loc() <= high:
                        yield from (tick.label1, tick.label2)
