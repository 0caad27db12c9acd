"""Dropped and projected colors."""

import pytest
import torch
from scipy import stats

from sslfast.views import drop_colors, from_rgb, project_colors
from tests.views.images import every_color


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


def test_a_patch_of_one_color_stays_finite(key):
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
