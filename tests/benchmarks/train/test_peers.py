"""Other packages' forms of the methods, for `make bench-train`: they train, and have the loss of ours."""

import importlib.machinery
import importlib.util

import pytest
import torch

from sslfast.benchmarks.train import bench, peers
from sslfast.benchmarks.train.cases import SMALL, TrainCase, noise, recipe_of
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.train.step import build_step

CASE = TrainCase("resnet18", 0.125, "cifar", 32, 8, 4096, SMALL)
INSTALLED = [(package, name) for package in peers.MODULES for name in peers.forms(package)]
UNEQUAL = {
    ("lightly", "densecl"): "two queues of its own, drawn at random",
    ("lightly", "nnclr"): "NT-Xent, with more negatives than the paper's loss",
    ("lightly", "swav"): "prototypes of its own, drawn at random",
}
# The package's loss in our terms: lightly's BYOL is the mean of -cos, ours the sum of 2 - 2 cos.
IN_OUR_TERMS = {("lightly", "byol"): lambda loss: 4 + 4 * loss}


def step_and_batch(name):
    train_step, loader = build_step(recipe_of(name, CASE), noise(CASE), torch.device("cpu"))
    return train_step, next(loader.epoch(0))


@pytest.mark.parametrize(("package", "name"), INSTALLED)
def test_they_train(package, name):
    train_step, batch = step_and_batch(name)
    recipe = train_step.recipe
    built = METHODS[name](recipe, build_encoder(recipe.encoder), CASE.num_images)
    peer = peers.installed(name, built)[package]
    before = {key: value.clone() for key, value in peer.named_parameters()}
    pipeline = bench.theirs(peer, train_step, batch)
    for _ in range(2):
        pipeline.step()
    for key, value in peer.named_parameters():
        assert value.isfinite().all(), key
        assert (value.grad is not None) == value.requires_grad, key
    moved = {key.split(".")[0] for key, value in peer.named_parameters() if not torch.equal(value, before[key])}
    assert moved == {key.split(".")[0] for key in before}  # averages as well
    assert pipeline.held() > sum(value.nbytes for value in peer.parameters())


@pytest.mark.parametrize(("package", "name"), INSTALLED)
def test_they_have_the_loss_of_ours(package, name):
    if reason := UNEQUAL.get((package, name)):
        pytest.skip(reason)
    train_step, batch = step_and_batch(name)
    method = train_step.method
    if name == "simclr":  # ours passes both views as one batch
        method.eval()
    if package == "lightly" and name.startswith("moco"):  # its queue moves between the two directions
        method.config.symmetric = False
    peer = peers.installed(name, method)[package]
    if package == "lightly" and hasattr(method, "queue"):
        bank = peer.criterion.memory_bank.bank
        method.queue.keys.copy_(bank if bank.shape == method.queue.keys.shape else bank.T)
    expected, *_ = method.loss(batch)
    loss = IN_OUR_TERMS.get((package, name), lambda loss: loss)(peer.loss(batch.views))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_a_package_that_is_missing_has_no_form_and_is_said_to_be(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert [peers.forms(package) for package in peers.MODULES] == [{}, {}]
    assert peers.versions() == {"lightly": "missing", "solo-learn": "missing"}


def test_a_package_that_cannot_be_imported_is_an_error_that_says_why(monkeypatch, capsys):
    monkeypatch.setitem(peers.MODULES, "lightly", "not_there")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    with pytest.raises(UsageError, match="is installed, but cannot be imported: No module named"):
        peers.forms("lightly")
    assert bench.main([]) == 2
    assert "bench-train: lightly" in capsys.readouterr().err
