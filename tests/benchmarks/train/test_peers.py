"""Other packages' forms of the methods, for `bench_train`: they train, and have the loss of ours."""

import importlib.machinery
import importlib.util

import pytest
import torch

from sslfast.benchmarks.train import bench as bench_train
from sslfast.benchmarks.train import peers as train_peers
from sslfast.benchmarks.train.cases import SMALL, Case, config, noise
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer

CASE = Case("resnet18", 0.125, "cifar", 32, 8, 4096, SMALL)
INSTALLED = [(package, name) for package in train_peers.MODULES for name in train_peers.forms(package)]
UNEQUAL = {
    ("lightly", "densecl"): "two queues of its own, drawn at random",
    ("lightly", "nnclr"): "NT-Xent, with more negatives than the paper's loss",
    ("lightly", "swav"): "prototypes of its own, drawn at random",
}
# The package's loss in our terms: lightly's BYOL is the mean of -cos, ours the sum of 2 - 2 cos.
IN_OUR_TERMS = {("lightly", "byol"): lambda loss: 4 + 4 * loss}


def trainer_of(name, tmp_path):
    return Trainer(config(name, CASE), RunDirectory(tmp_path / "run"), noise(CASE))


def batch_of(trainer):
    return next(iter(trainer.loader.epoch(0)))


@pytest.mark.parametrize(("package", "name"), INSTALLED)
def test_they_train(package, name, tmp_path):
    trainer = trainer_of(name, tmp_path)
    recipe = trainer.config
    built = METHODS[name](recipe, build_encoder(recipe.encoder), CASE.images)
    peer = train_peers.installed(name, built)[package]
    before = {key: value.clone() for key, value in peer.named_parameters()}
    pipeline = bench_train.theirs(peer, trainer, batch_of(trainer))
    for _ in range(2):
        pipeline.step()
    for key, value in peer.named_parameters():
        assert value.isfinite().all(), key
        assert (value.grad is not None) == value.requires_grad, key
    moved = {key.split(".")[0] for key, value in peer.named_parameters() if not torch.equal(value, before[key])}
    assert moved == {key.split(".")[0] for key in before}  # averages as well
    assert pipeline.held() > sum(value.nbytes for value in peer.parameters())


@pytest.mark.parametrize(("package", "name"), INSTALLED)
def test_they_have_the_loss_of_ours(package, name, tmp_path):
    if reason := UNEQUAL.get((package, name)):
        pytest.skip(reason)
    trainer = trainer_of(name, tmp_path)
    method, batch = trainer.method, batch_of(trainer)
    if name == "simclr":  # ours passes both views as one batch
        method.eval()
    if package == "lightly" and name.startswith("moco"):  # its queue moves between the two directions
        method.config.symmetric = False
    peer = train_peers.installed(name, method)[package]
    if package == "lightly" and hasattr(method, "queue"):
        bank = peer.criterion.memory_bank.bank
        method.queue.keys.copy_(bank if bank.shape == method.queue.keys.shape else bank.T)
    expected, _ = method.loss(batch)
    loss = IN_OUR_TERMS.get((package, name), lambda loss: loss)(peer.loss(batch.views))
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_a_package_that_is_missing_has_no_form_and_is_said_to_be(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert [train_peers.forms(package) for package in train_peers.MODULES] == [{}, {}]
    assert train_peers.versions() == {"lightly": "missing", "solo-learn": "missing"}


def test_a_package_that_cannot_be_imported_is_an_error_that_says_why(monkeypatch, capsys):
    monkeypatch.setitem(train_peers.MODULES, "lightly", "not_there")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    with pytest.raises(UsageError, match="is installed, but cannot be imported: No module named"):
        train_peers.forms("lightly")
    assert bench_train.main([]) == 2
    assert "bench_train: lightly" in capsys.readouterr().err
