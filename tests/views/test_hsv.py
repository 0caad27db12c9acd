"""Hue, saturation, value: Python's."""

import colorsys

import pytest
import torch

from sslfast.views.hsv import hsv_from_rgb, rgb_from_hsv
from tests.views.images import every_color


def test_hsv_is_pythons_and_inverts():
    rgb = every_color(7)
    hsv = torch.stack(hsv_from_rgb(rgb), dim=1)
    for color, ours in zip(rgb[0, :, :, 0].T.tolist(), hsv[0, :, :, 0].T.tolist(), strict=True):
        assert ours == pytest.approx(colorsys.rgb_to_hsv(*color), abs=1e-5)
    torch.testing.assert_close(rgb_from_hsv(*hsv.unbind(1)), rgb, rtol=0, atol=1e-5)
