"""The look of the report's pictures. Figures are made without pyplot, so nothing global changes."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sslfast.errors import printable

# Okabe and Ito's blue and vermilion: told apart with any colour vision.
BLUE, VERMILION = "#0072B2", "#D55E00"
GRAY = "#767676"
# Paul Tol's "muted" and a grey: ten colours that stay apart with any colour vision.
CLASS_COLORS = (
    *("#332288", "#88CCEE", "#117733", "#DDCC77", "#CC6677"),
    *("#AA4499", "#44AA99", "#999933", "#882255", GRAY),
)
CLASS_MARKERS = "o^"

WIDTH = 7.2  # inches, of every figure
DPI = 144


def axes(height: float, title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure with one plot: title and labels, a light grid, no box."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    plot = figure.add_subplot()
    plot.set_title(title, loc="left", fontsize=12)
    plot.set_xlabel(x)
    plot.set_ylabel(y)
    plot.grid(color="#e4e4e4", linewidth=0.8)
    plot.set_axisbelow(True)
    plot.spines[["top", "right"]].set_visible(False)
    return figure, plot


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as the file `path`, which it returns."""
    figure.savefig(path, dpi=DPI)
    return path


def shortened(name: str, length: int) -> str:
    """A name, `printable`, cut to a length, and with "$" escaped, which begins a formula in matplotlib."""
    name = printable(name)
    short = name if len(name) <= length else f"{name[: length - 1]}…"
    return short.replace("$", r"\$")
