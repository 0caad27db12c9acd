"""Color spaces, and CMC's splits by them."""

import pytest
import torch

from sslfast.views import split_lab, split_ydbdr, to_rgb
from sslfast.views.color_spaces import lab_from_rgb, rgb_from_lab, rgb_from_ydbdr, ydbdr_from_rgb
from tests.views.images import every_color

# The L*a*b* (D65) of sRGB's primaries, white and black, and what YDbDr's definition gives for them.
KNOWN = {
    (1.0, 0.0, 0.0): ((53.2406, 80.0923, 67.2028), (0.299, -0.45, -1.333)),
    (0.0, 1.0, 0.0): ((87.7351, -86.1829, 83.1796), (0.587, -0.883, 1.116)),
    (0.0, 0.0, 1.0): ((32.2957, 79.1856, -107.8573), (0.114, 1.333, 0.217)),
    (1.0, 1.0, 1.0): ((100.0, -0.0024, 0.0047), (1.0, 0.0, 0.0)),
    (0.0, 0.0, 0.0): ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("color", KNOWN)
def test_known_values(color):
    rgb = torch.tensor(color).view(1, 3, 1, 1)
    lab, ydbdr = KNOWN[color]
    torch.testing.assert_close(lab_from_rgb(rgb).flatten(), torch.tensor(lab), rtol=0, atol=2e-3)
    torch.testing.assert_close(ydbdr_from_rgb(rgb).flatten(), torch.tensor(ydbdr), rtol=0, atol=1e-6)


def test_the_inverses():
    rgb = every_color(17)
    torch.testing.assert_close(rgb_from_lab(lab_from_rgb(rgb)), rgb, rtol=0, atol=1e-5)
    torch.testing.assert_close(rgb_from_ydbdr(ydbdr_from_rgb(rgb)), rgb, rtol=0, atol=1e-5)


@pytest.mark.parametrize("split", [split_lab, split_ydbdr])
def test_splits_fill_minus_1_to_1(split):
    first, others = split(every_color(33))
    assert first.shape[1] == 1
    assert others.shape[1] == 2
    for channel in (*first.unbind(1), *others.unbind(1)):
        assert channel.min().item() == pytest.approx(-1, abs=1e-3)
        assert channel.max().item() == pytest.approx(1, abs=1e-3)


def test_to_rgb_undoes_the_normalization():
    rgb, mean, std = every_color(5), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    view = (rgb - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(to_rgb(view, mean, std), rgb)
    assert to_rgb(view.bfloat16(), mean, std).dtype == torch.float32
