"""Pictures of the parts of colors."""

import pytest
import torch

from sslfast.views.color_parts import color_parts
from sslfast.views.color_spaces import lab_from_rgb, ydbdr_from_rgb
from tests.views.images import every_color


@pytest.mark.parametrize("colors", ["lab", "ydbdr"])
def test_pictures_of_the_parts_of_colors(colors):
    """Luminance as gray that has it; chrominance at a brightness of its own, so that gray images have none."""
    rgb = every_color(5) * 0.4 + 0.3  # no part of it, by itself, leaves sRGB
    space = {"lab": lab_from_rgb, "ydbdr": ydbdr_from_rgb}[colors]
    luminance, chrominance = color_parts(rgb, colors, (1, 2)).unbind(1)
    assert (luminance.amax(1) - luminance.amin(1)).max() < 1e-3
    torch.testing.assert_close(space(luminance)[:, 0], space(rgb)[:, 0], rtol=1e-3, atol=1e-3)
    assert space(chrominance)[:, 0].std() < 1e-2 * space(rgb)[:, 0].std()
    torch.testing.assert_close(space(chrominance)[:, 1:], space(rgb)[:, 1:], rtol=1e-2, atol=1e-2)
    assert color_parts(rgb, colors, (1, 1, 1)).shape == (1, 3, 3, 125, 1)
