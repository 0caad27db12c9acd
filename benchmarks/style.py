"""The look of the benchmarks' pictures. Figures are made without pyplot, so nothing global changes."""

from __future__ import annotations

from matplotlib.axes import Axes

# Okabe and Ito's colors: told apart with any color vision.
BLUE, VERMILION, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"
GRAY = "#767676"

WIDTH = 7.2  # inches, of a figure
ROW = 0.24  # inches, of a line of points and its label
DPI = 144


def plain(panel: Axes) -> None:
    """Gives a panel a light grid and no box."""
    panel.grid(color="#e4e4e4", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
