"""The colors of maps of weights."""

import torch
from matplotlib import colormaps

from sslfast.report.viridis import viridis


def test_they_are_viridis() -> None:
    values = torch.linspace(-3, 5, 256).view(16, 16)
    expected = torch.tensor(colormaps["viridis"](range(256)))[:, :3].T.float()
    torch.testing.assert_close(viridis(values).flatten(1), expected, rtol=0, atol=0.02)


def test_equal_values_are_all_dark() -> None:
    (color,) = viridis(torch.full((2, 3), 0.5)).flatten(1).T.unique(dim=0)
    torch.testing.assert_close(color, torch.tensor([0x44, 0x01, 0x54]) / 255)
