"""Grids of nearest neighbours."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sslfast.data import Source
from sslfast.report import grids
from sslfast.report.style import BLUE, VERMILION


def captured(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures of `grids`, which then writes no files."""
    figures: list[Figure] = []
    monkeypatch.setattr(grids, "save", lambda figure, path: figures.append(figure) or path)
    return figures


def test_frames_tell_right_neighbours_from_wrong_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = captured(monkeypatch)
    black = np.zeros((6, 4, 4, 3), dtype=np.uint8)
    bank = Source("bank", images=black, labels=np.array([0, 1, 0, 1, 0, 1]), classes=["even", "odd"])
    query = Source("query", images=black[:1], labels=np.array([1]), classes=["even", "odd"])
    angles = torch.tensor([0.3, 0.1, 0.2, 0.5, 0.4, 3.0])  # from the query, which lies along the first axis
    bank_x = torch.stack([angles.cos(), angles.sin()], dim=1)
    grids.draw_neighbors(bank, query, bank_x, torch.tensor([[1.0, 0.0]]), tmp_path / "neighbours.png")

    asked, _, *neighbours = figures[0].axes
    assert asked.get_xlabel() == "odd"
    assert [plot.get_xlabel() for plot in neighbours] == ["odd", "even", "even", "even", "odd"]
    frames = [to_hex(plot.spines["top"].get_edgecolor()).upper() for plot in neighbours]
    assert frames == [BLUE, VERMILION, VERMILION, VERMILION, BLUE]
