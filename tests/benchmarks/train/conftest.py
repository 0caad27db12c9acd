"""The training step of the small case."""

import pytest
import torch

from sslfast.benchmarks.train.cases import noise
from sslfast.recipes.load import load_recipe
from sslfast.train.step import build_step
from tests.benchmarks.train.tiny import TINY, TINY_HEAD


@pytest.fixture
def step_and_loader():
    """Builds the step of MoCo v2, which leaves the weights where they are, and its loader."""
    settings = [
        *("data.val_fraction=0", "data.size=32", "data.batch_size=16", "optim.lr=1.0e-12", "train.knn_every=0"),
        *("encoder.width=0.125", "encoder.norm=batch"),
    ]
    recipe = load_recipe("moco_v2_cifar10", [*TINY_HEAD, *settings])
    return build_step(recipe, noise(TINY), torch.device("cpu"))


@pytest.fixture
def train_step(step_and_loader):
    return step_and_loader[0]


@pytest.fixture
def batch(step_and_loader):
    return next(step_and_loader[1].epoch(0))
