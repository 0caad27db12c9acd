"""Colour spaces, dropped colours, HSV."""

import colorsys

import pytest
import torch
from scipy import stats

from sslfast.views import drop_colors, from_rgb, project_colors, split_lab, split_ydbdr, to_rgb
from sslfast.views.color_parts import color_parts
from sslfast.views.color_spaces import lab_from_rgb, rgb_from_lab, rgb_from_ydbdr, ydbdr_from_rgb
from sslfast.views.hsv import hsv_from_rgb, rgb_from_hsv

# The L*a*b* (D65) of sRGB's primaries, white and black, and what YDbDr's definition gives for them.
KNOWN = {
    (1.0, 0.0, 0.0): ((53.2406, 80.0923, 67.2028), (0.299, -0.45, -1.333)),
    (0.0, 1.0, 0.0): ((87.7351, -86.1829, 83.1796), (0.587, -0.883, 1.116)),
    (0.0, 0.0, 1.0): ((32.2957, 79.1856, -107.8573), (0.114, 1.333, 0.217)),
    (1.0, 1.0, 1.0): ((100.0, -0.0024, 0.0047), (1.0, 0.0, 0.0)),
    (0.0, 0.0, 0.0): ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
}


def every_color(steps):
    """(1, 3, steps**3, 1) over the whole cube."""
    level = torch.linspace(0, 1, steps)
    return torch.cartesian_prod(level, level, level).T[None, :, :, None]


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


def test_to_rgb_undoes_the_normalisation():
    rgb, mean, std = every_color(5), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    view = (rgb - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(to_rgb(view, mean, std), rgb)
    assert to_rgb(view.bfloat16(), mean, std).dtype == torch.float32


def test_hsv_is_pythons_and_inverts():
    rgb = every_color(7)
    hsv = torch.stack(hsv_from_rgb(rgb), dim=1)
    for color, found in zip(rgb[0, :, :, 0].T.tolist(), hsv[0, :, :, 0].T.tolist(), strict=True):
        assert found == pytest.approx(colorsys.rgb_to_hsv(*color), abs=1e-5)
    torch.testing.assert_close(rgb_from_hsv(*hsv.unbind(1)), rgb, rtol=0, atol=1e-5)


def test_dropping_keeps_one_channel_of_each_patch_and_leaves_faint_noise(key):
    patches = torch.randn(300, 4, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    dropped = drop_colors(patches, key(300))
    same = (dropped == patches).flatten(3).all(-1)  # [B, N, 3]
    assert (same.sum(-1) == 1).all()
    assert stats.chisquare(same.sum((0, 1)).numpy()).pvalue > 1e-3
    noise = dropped[~same]
    spread = patches[same].std(correction=0)
    assert (noise.std() / spread).item() == pytest.approx(0.01, rel=0.02)
    assert abs(noise.mean()) < spread * 1e-3
    first, second = noise.view(300, 4, 2, -1).unbind(2)
    assert abs(torch.corrcoef(torch.stack((first.flatten(), second.flatten())))[0, 1]) < 0.02


def test_dropping_spares_some(key):
    patches = torch.randn(500, 2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    spared = (drop_colors(patches, key(500), probability=0.3) == patches).flatten(2).all(-1)
    assert spared.float().mean().item() == pytest.approx(0.7, abs=0.05)
    assert torch.equal(drop_colors(patches, key(500), probability=0.0), patches)


def test_a_patch_of_one_colour_stays_finite(key):
    dropped = drop_colors(torch.ones(2, 1, 3, 4, 4), key(2))
    assert (dropped.flatten(3).std(-1) == 0).all()


def test_projection_takes_green_against_magenta_and_nothing_else():
    """Doersch et al. 2015: B = I - a^T a / (a a^T), a = (-1, 2, -1)."""
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    rgb = every_color(5)
    a = torch.tensor([[-1.0, 2.0, -1.0]])
    expected = torch.einsum("ij,bjhw->bihw", torch.eye(3) - a.T @ a / (a @ a.T), rgb)
    projected = project_colors(from_rgb(rgb, mean, std), mean, std)
    torch.testing.assert_close(projected, from_rgb(expected, mean, std), rtol=0, atol=1e-5)


@pytest.mark.parametrize("colors", ["lab", "ydbdr"])
def test_pictures_of_the_parts_of_colours(colors):
    """Luminance as gray that has it; chrominance at a brightness of its own, so that gray images have none."""
    rgb = every_color(5) * 0.4 + 0.3  # no part of it, by itself, leaves sRGB
    space = {"lab": lab_from_rgb, "ydbdr": ydbdr_from_rgb}[colors]
    luminance, chrominance = color_parts(rgb, colors, (1, 2)).unbind(1)
    assert (luminance.amax(1) - luminance.amin(1)).max() < 1e-3
    torch.testing.assert_close(space(luminance)[:, 0], space(rgb)[:, 0], rtol=1e-3, atol=1e-3)
    assert space(chrominance)[:, 0].std() < 1e-2 * space(rgb)[:, 0].std()
    torch.testing.assert_close(space(chrominance)[:, 1:], space(rgb)[:, 1:], rtol=1e-2, atol=1e-2)
    assert color_parts(rgb, colors, (1, 1, 1)).shape == (1, 3, 3, 125, 1)
