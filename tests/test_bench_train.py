"""The benchmark of training steps: what is timed alone, what other packages' forms compute, what is recorded."""

import json
import math

import pytest
import torch
from torch import nn

from sslfast.benchmarks import bench_train, timing, train_peers
from sslfast.benchmarks.bench_train import Pipeline
from sslfast.benchmarks.train_cases import SMALL, Case, cases, config, noise
from sslfast.benchmarks.train_networks import networks_alone, record
from sslfast.config import load_config
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.run import RunDirectory
from sslfast.train import Trainer, check

CPU = torch.device("cpu")
TINY = Case("resnet18", 0.125, "cifar", 32, 16, 64, SMALL)
TINY_HEAD = ["method.queue_size=32", "method.hidden=16", "method.dim=16", "method.symmetric=false"]


@pytest.fixture
def trainer(tmp_path):
    """Of MoCo v2, whose steps leave the weights where they are."""
    settings = [
        *("data.val_fraction=0", "data.size=32", "data.batch_size=16", "optim.lr=1.0e-12", "train.knn_every=0"),
        *("encoder.width=0.125", "encoder.norm=batch"),
    ]
    recipe = load_config("moco_v2_cifar10", [*TINY_HEAD, *settings])
    return Trainer(recipe, RunDirectory(tmp_path / "run"), noise(TINY))


def batch_of(trainer):
    return next(iter(trainer.loader.epoch(0)))


def gradients(trainer):
    return {name: p.grad.clone() for name, p in trainer.method.named_parameters() if p.grad is not None}


def test_the_networks_alone_compute_what_they_do_in_a_step(trainer):
    batch = batch_of(trainer)
    step = networks_alone(trainer, batch)
    in_step = gradients(trainer)
    trainer.optimizer.zero_grad()
    keys = trainer.method.queue.keys.clone()
    for _ in range(2):
        step()
        alone = gradients(trainer)
        assert alone.keys() == in_step.keys() == {name for name in alone if not name.startswith("key_network")}
        for name, gradient in alone.items():
            torch.testing.assert_close(gradient, in_step[name], msg=lambda text, name=name: f"{name}: {text}")
    assert torch.equal(trainer.method.queue.keys, keys)  # nothing of the rest of the step


def test_the_outermost_calls_are_kept(trainer):
    method, batch = trainer.method, batch_of(trainer)
    calls = record(trainer, batch)
    assert [call.module for call in calls] == [method.encoder, method.head, *method.key_network.module]
    assert [bool(call.gradients) for call in calls] == [True, True, False, False]
    assert [call.args[0].requires_grad for call in calls] == [False, True, False, False]
    trainer.train_step(batch)
    assert len(calls) == 4  # the hooks are gone


@pytest.mark.parametrize("name", sorted(train_peers.LIGHTLY.keys() & METHODS.keys()))
def test_lightly_s_forms_train(name, tmp_path):
    pytest.importorskip("lightly")
    case = Case("resnet18", 0.125, "cifar", 32, 8, 4096, SMALL)
    recipe, source = config(name, case), noise(case)
    trainer = Trainer(recipe, RunDirectory(tmp_path / "run"), source)
    built = METHODS[name](recipe, build_encoder(recipe.encoder), len(source))
    peer = train_peers.installed(name, built)["lightly"]
    before = {key: value.clone() for key, value in peer.named_parameters()}
    pipeline = bench_train.theirs(peer, trainer, batch_of(trainer))
    for _ in range(2):
        pipeline.step()
    for key, value in peer.named_parameters():
        assert value.isfinite().all(), key
        assert (value.grad is not None) == value.requires_grad, key
    moved = {key.split(".")[0] for key, value in peer.named_parameters() if not torch.equal(value, before[key])}
    assert moved == {key.split(".")[0] for key in before}  # averages as well


def test_lightly_s_moco_has_the_loss_of_ours(trainer):
    pytest.importorskip("lightly")
    method, batch = trainer.method, batch_of(trainer)
    peer = train_peers.LIGHTLY["moco_v2"](method)
    bank = peer.criterion.memory_bank.bank
    method.queue.keys.copy_(bank if bank.shape == method.queue.keys.shape else bank.T)
    expected, _ = method.loss(batch)
    torch.testing.assert_close(peer.loss(batch.views), expected)


def test_what_a_pipeline_keeps():
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    pipeline = Pipeline(lambda: None, module, optimizer)
    weights, buffers = 4 * (6 + 2 + 2 + 2), 4 * (2 + 2) + 8
    assert pipeline.held() == weights + buffers
    module(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    assert pipeline.held() == 3 * weights + buffers  # gradients and momentum


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(timing, "MIN_CALLS", 1)
    monkeypatch.setattr(bench_train, "cases", lambda device: [TINY])

    def with_tiny_head(method, case):
        if method == "moco_v1":
            raise UsageError("does not fit")
        assert config(method, case).data.batch_size == 16
        return load_config(
            "moco_v2_cifar10", [*TINY_HEAD, "data.size=32", "data.batch_size=16", "encoder.width=0.125"]
        )

    monkeypatch.setattr(bench_train, "config", with_tiny_head)


def test_the_record_and_that_a_method_that_fails_costs_the_others_nothing(tmp_path, small, capsys):
    path = tmp_path / "train.json"
    assert bench_train.main(["--method", "moco_v1", "moco_v2", "--seconds", "0", "--json", str(path)]) == 1
    out = capsys.readouterr().out
    assert "moco_v1: does not fit" in out
    content = json.loads(path.read_text())
    assert {"CPU", "versions", "commit", "command", "other versions"} <= content["header"].keys()
    assert str(tmp_path) not in path.read_text()
    rows = {row["pipeline"]: row for row in content["results"]}
    assert rows.keys() - {"lightly"} == {"sslfast"}
    for row in rows.values():
        assert (row["method"], row["batch"], row["case"]) == ("moco_v2", 16, "resnet18 x 0.125, 32 pixels")
        assert row["images_per_second"] == pytest.approx(16e3 / row["milliseconds"])
        assert row["peak_bytes"] is None or row["peak_bytes"] > 4 * 170_000  # the encoder's weights
    assert math.isfinite(rows["sslfast"]["overhead"])
    assert rows["sslfast"]["overhead"] < 1


def test_the_share_outside_the_networks_and_what_is_out_of_memory(small, monkeypatch):
    monkeypatch.setattr(bench_train, "extra_memory", lambda step, device: 1000)
    times = {bench_train.NETWORKS: [8.0, 9.0, 7.0], "sslfast": [10.0, 30.0, 2.0], "lightly": []}
    monkeypatch.setattr(
        bench_train, "take_turns", lambda steps, device, seconds: {name: times[name] for name in steps}
    )
    found = {r.pipeline: r for r in bench_train.measure("moco_v2", TINY, noise(TINY), 0.0)}
    assert found["sslfast"].overhead == pytest.approx(0.2)
    assert found["sslfast"].images_per_second == 1600
    if "lightly" in found:
        assert found["lightly"].milliseconds is found["lightly"].peak_bytes is None
        assert "OOM" in list(bench_train.lines(list(found.values())))[1]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_a_recipe_for_every_case(method, device):
    for case in cases(torch.device(device)):
        recipe = config(method, case)
        check(recipe)
        METHODS[method].check(recipe, case.images)
        assert (recipe.encoder.name, recipe.encoder.width) == (case.encoder, case.width)
        assert (recipe.data.size, recipe.data.batch_size) == (case.size, case.batch)


def test_a_method_that_does_not_exist(capsys):
    assert bench_train.main(["--method", "moco_v22"]) == 2
    assert "did you mean 'moco_v2'" in capsys.readouterr().err
