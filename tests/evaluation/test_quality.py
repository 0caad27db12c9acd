"""The measures of features that need no labels, beside their papers' formulas."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslfast.config import DataConfig
from sslfast.data import Source
from sslfast.evaluation import quality
from sslfast.evaluation.quality import effective_rank, evenly_spaced, feature_quality, mirror_alignment
from sslfast.methods.parts.hypersphere import uniformity

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(40, 8), (8, 40)])
def test_the_effective_rank_is_the_papers(shape: tuple[int, int]) -> None:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    shares = torch.linalg.svdvals(x.double())
    shares /= shares.sum()
    assert effective_rank(x) == pytest.approx(math.exp(-(shares * shares.log()).sum().item()))
    assert effective_rank(x) < min(shape)


def test_the_effective_rank_counts_directions() -> None:
    line = torch.arange(1.0, 7).outer(torch.tensor([1.0, 2.0, 3.0]))
    assert effective_rank(line) == pytest.approx(1, abs=1e-5)
    assert effective_rank(torch.eye(4)) == pytest.approx(4)
    assert effective_rank(torch.zeros(5, 3)) == 0


def test_uniformity_and_deviation_are_those_of_the_losses() -> None:
    x = 3 * torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    unit, found = F.normalize(x, dim=1), feature_quality(x.bfloat16())
    assert found["feature_uniformity"] == pytest.approx(uniformity(unit).item(), abs=0.01)
    assert found["feature_std"] == pytest.approx(unit.std(dim=0, correction=0).mean().item(), abs=0.01)


def test_features_that_are_all_the_same() -> None:
    found = feature_quality(torch.tensor([3.0, 0.0, 4.0]).expand(20, 3))
    assert found == pytest.approx({"feature_std": 0.0, "feature_rank": 1.0, "feature_uniformity": 0.0}, abs=1e-3)


def test_features_that_are_not_finite_have_no_quality() -> None:
    x = torch.ones(4, 3)
    x[2, 1] = math.inf
    assert all(map(math.isnan, feature_quality(x).values()))


def test_of_many_features_evenly_spaced_ones_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "SAMPLE", 3)
    x = torch.zeros(5, 3)
    x[0, 0] = x[2, 1] = x[4, 2] = 1.0
    assert feature_quality(x)["feature_rank"] == pytest.approx(3)
    assert evenly_spaced(5, 3).tolist() == [0, 2, 4]
    assert evenly_spaced(3, 5).tolist() == [0, 1, 2]


class Pixels(nn.Module):
    """The pixels themselves as features."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def test_the_alignment_is_of_mirror_images() -> None:
    rng = np.random.default_rng(0)
    half = rng.integers(0, 256, (4, 8, 4, 3), dtype=np.uint8)
    data = DataConfig(size=8)
    symmetric = Source("symmetric", images=np.concatenate([half, half[:, :, ::-1]], axis=2))
    assert mirror_alignment(Pixels(), symmetric, data, CPU) == pytest.approx(0, abs=1e-6)
    images = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    mean, std = np.asarray(data.mean), np.asarray(data.std)
    x, y = (
        F.normalize(torch.from_numpy((each / 255 - mean) / std).flatten(1), dim=1)
        for each in (images, images[:, :, ::-1])
    )
    expected = (x - y).square().sum(dim=1).mean().item()
    assert mirror_alignment(Pixels(), Source("any", images=images), data, CPU) == pytest.approx(expected, abs=1e-4)
