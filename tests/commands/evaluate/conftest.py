"""A checkpoint to evaluate, and a small data set with splits."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from sslfast.config import Recipe
from sslfast.encoders import build_encoder
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run import checkpoint
from tests.commands.evaluate.images import CLASSES


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return from_dict(
        {
            "method": {"name": "moco_v2"},
            "encoder": {"stem": "cifar", "width": 0.125},
            "data": {"size": 16},
            "train": {"seed": 3},
        }
    )


@pytest.fixture
def saved(recipe: Recipe, tmp_path: Path) -> Path:
    """Saves a checkpoint whose weights are not those of the recipe's seed."""
    torch.manual_seed(99)
    encoder = build_encoder(recipe.encoder)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    path.parent.mkdir(parents=True)
    weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    checkpoint.save(path, {"config": to_dict(recipe), "method": weights})
    return path


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a small stand-in for torchvision's CIFAR10, whose splits differ in size, in its place."""

    class CIFAR10:
        classes = CLASSES

        def __init__(self, root: Path, train: bool, download: bool) -> None:
            self.targets = [i % 3 for i in range(30 if train else 12)]
            self.data = np.zeros((len(self.targets), 16, 16, 3), dtype=np.uint8)
            for image, target in zip(self.data, self.targets, strict=True):
                image[..., target] = 200

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", CIFAR10)
