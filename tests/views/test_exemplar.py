"""Exemplar's transformations: each within its range, and all of the range in use."""

import math

import pytest
import torch

from sslfast.views import exemplar, surrogate
from sslfast.views.exemplar import COMPONENTS, MEAN

B, SIDE = 300, 33


@pytest.fixture
def only(monkeypatch):
    """Leaves one kind of transformation on."""
    silent = {
        "TRANSLATION": 0.0,
        "SCALE": (1.0, 1.0),
        "ROTATION": 0.0,
        "COMPONENT_FACTOR": (1.0, 1.0),
        "POWER": (1.0, 1.0),
        "FACTOR": (1.0, 1.0),
        "ADDED": 0.0,
    }

    def keep(*names):
        for name, value in silent.items():
            if name not in names:
                monkeypatch.setattr(exemplar, name, value)

    return keep


def disc(row, column, side=SIDE):
    """Draws a batch of a soft bright disc."""
    place = torch.arange(side, dtype=torch.float32)
    disc = torch.exp(-((place[:, None] - row) ** 2 + (place - column) ** 2) / 8)
    return disc.expand(B, 3, side, side).contiguous()


def center(images):
    """Computes row and column of the center of mass, (B, 2), and the mass (B,)."""
    place = torch.arange(images.shape[-1], dtype=torch.float32)
    weight = images[:, 0]
    mass = weight.sum((1, 2))
    rows, columns = (weight.sum(2) * place).sum(1), (weight.sum(1) * place).sum(1)
    return torch.stack((rows, columns), dim=1) / mass[:, None], mass


def spans(values, low, high, slack):
    """Asserts that all are in [low, high], and some within `slack` of both ends."""
    assert low - slack * 0.05 - 1e-3 <= values.min().item() <= low + slack
    assert high - slack <= values.max().item() <= high + slack * 0.05 + 1e-3


def test_nothing_on_changes_nothing(only, key):
    only()
    images = torch.rand(B, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(surrogate(images, key(B)), images, rtol=0, atol=1e-5)


def test_translation_is_up_to_a_fifth_of_the_side(only, key):
    only("TRANSLATION")
    moved, _ = center(surrogate(disc(16, 16), key(B)))
    for way in (moved - 16).T:
        spans(way, -0.2 * SIDE, 0.2 * SIDE, slack=0.3)


def test_scale(only, key):
    only("SCALE")
    _, mass = center(surrogate(disc(16, 16), key(B)))
    spans((mass / center(disc(16, 16))[1]).sqrt(), 0.7, 1.4, slack=0.02)


def test_rotation_is_up_to_20_degrees_about_the_center(only, key):
    only("ROTATION")
    turned, _ = center(surrogate(disc(16, 25), key(B)))
    angles = torch.atan2(turned[:, 0] - 16, turned[:, 1] - 16) * 180 / math.pi
    spans(angles, -20, 20, slack=0.5)
    radius = (turned - 16).norm(dim=1)
    torch.testing.assert_close(radius, torch.full((B,), 9.0), rtol=0.02, atol=0)


def test_contrast_is_scaled_along_each_component_apart(only, key):
    only("COMPONENT_FACTOR")
    basis = torch.tensor(COMPONENTS)
    torch.testing.assert_close(basis @ basis.T, torch.eye(3), rtol=0, atol=1e-3)
    offset = 0.05 * basis.sum(0)  # 0.05 along each
    color = torch.tensor(MEAN) + offset
    changed = surrogate(color.view(1, 3, 1, 1).expand(B, 3, 2, 2), key(B))[:, :, 0, 0] - torch.tensor(MEAN)
    factors = changed @ basis.T / (offset @ basis.T)
    for factor in factors.T:
        spans(factor, 0.5, 2, slack=0.05)
    assert torch.corrcoef(factors.T).fill_diagonal_(0).abs().max() < 0.2


def test_hue_saturation_and_value_are_moved_by_up_to_a_tenth(only, key):
    only("ADDED")
    gray_green = torch.tensor([0.3, 0.6, 0.3]).view(1, 3, 1, 1).expand(B, 3, 2, 2)  # h = 1/3, s = 1/2, v = 0.6
    hsv = exemplar.hsv_from_rgb(surrogate(gray_green, key(B)))
    for channel, before in zip(hsv, (1 / 3, 0.5, 0.6), strict=True):
        spans(channel[:, 0, 0], before - 0.1, before + 0.1, slack=0.01)


@pytest.mark.parametrize(
    ("name", "low", "high", "apply"),
    [("POWER", 0.25, 4.0, lambda x, by: x**by), ("FACTOR", 0.7, 1.4, lambda x, by: x * by)],
)
def test_saturation_and_value_are_bent(only, key, name, low, high, apply):
    only(name)
    gray_green = torch.tensor([0.3, 0.6, 0.3]).view(1, 3, 1, 1).expand(B, 3, 2, 2)
    _, saturation, value = exemplar.hsv_from_rgb(surrogate(gray_green, key(B)))
    for channel, before in ((saturation, 0.5), (value, 0.6)):
        ends = sorted((apply(before, low), apply(before, high)))
        spans(channel[:, 0, 0], *ends, slack=0.02)


def test_what_comes_from_outside_is_mirrored(only, key):
    only("TRANSLATION", "SCALE", "ROTATION")
    members = surrogate(torch.ones(B, 3, 16, 16), key(B))
    torch.testing.assert_close(members, torch.ones_like(members), rtol=0, atol=1e-5)


def test_members_differ_and_stay_in_range(key):
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(B, 3, 16, 16)
    members = surrogate(image, key(B))
    assert members.min() >= 0
    assert members.max() <= 1
    assert members.is_contiguous(memory_format=torch.channels_last)
    assert len({member.numpy().tobytes() for member in members}) == B


def test_images_of_other_channels_are_refused(key):
    with pytest.raises(ValueError, match="expected images of 3 channels"):
        surrogate(torch.rand(2, 1, 8, 8), key(2))
