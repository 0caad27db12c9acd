"""sslfast.nn.compat.pytorch_metric_learning beside the package itself, where it is installed."""

import inspect

import pytest
import torch

from sslfast.nn.compat import pytorch_metric_learning as ours
from tests.nn.compare import assert_same, embeddings

theirs = pytest.importorskip("pytorch_metric_learning.losses")

RANDOM = torch.Generator().manual_seed(0)
LABELS = {
    "two a label": torch.arange(12).repeat(2),
    "two a label, mixed": torch.arange(12).repeat(2)[torch.randperm(24, generator=RANDOM)],
    "several a label": torch.randint(0, 5, (24,), generator=RANDOM),
    "more than a tile": torch.randint(0, 10, (70,), generator=RANDOM),
    "some alone": torch.randint(0, 40, (24,), generator=RANDOM),
    "all alone": torch.arange(24),
    "one label": torch.zeros(24, dtype=torch.long),
    "negative, int32": torch.randint(-3, 0, (24,), generator=RANDOM, dtype=torch.int32),
    "one": torch.tensor([3]),
    "one pair": torch.tensor([3, 3]),
    "two alone": torch.tensor([3, 4]),
    "a pair and one alone": torch.tensor([3, 4, 3]),
}


@pytest.mark.parametrize("name", ["SupConLoss", "NTXentLoss"])
@pytest.mark.parametrize("method", ["__init__", "forward"])
def test_signatures(name, method):
    mine, original = (inspect.signature(getattr(getattr(package, name), method)) for package in (ours, theirs))
    assert [(p.name, p.default, p.kind) for p in mine.parameters.values()] == [
        (p.name, p.default, p.kind) for p in original.parameters.values()
    ]


@pytest.mark.parametrize("name", ["SupConLoss", "NTXentLoss"])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 10])
@pytest.mark.parametrize("case", LABELS)
def test_equality(name, temperature, case):
    labels = LABELS[case]
    mine, original = (getattr(package, name)(temperature=temperature) for package in (ours, theirs))
    for seed, dim in enumerate((3, 32)):
        z = embeddings(len(labels), dim, seed=seed, count=1)
        assert_same(lambda z: mine(z, labels), lambda z: original(z, labels), z)


@pytest.mark.parametrize("name", ["SupConLoss", "NTXentLoss"])
def test_inside_their_self_supervised_loss(name):
    mine, original = (theirs.SelfSupervisedLoss(getattr(package, name)()) for package in (ours, theirs))
    assert_same(mine, original, embeddings(9, 16))
