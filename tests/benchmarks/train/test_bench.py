"""The benchmark of training steps: what is timed alone, what other packages' forms compute, what is recorded."""

import json
import math

import pytest
import torch
from torch import nn

from sslfast.benchmarks.measure import timing
from sslfast.benchmarks.train import bench as bench_train
from sslfast.benchmarks.train import plot as train_plot
from sslfast.benchmarks.train.bench import Pipeline, embeddings
from sslfast.benchmarks.train.cases import SMALL, Case, cases, config, noise
from sslfast.benchmarks.train.networks import networks_alone, record
from sslfast.benchmarks.train.record import Record, Result, lines
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.check import check
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer

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
    recipe = load_recipe("moco_v2_cifar10", [*TINY_HEAD, *settings])
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


def test_clustering_methods_get_embeddings_at_no_cost_to_the_network(trainer):
    network = nn.Sequential(trainer.method.encoder, trainer.method.head)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found, kept = embeddings(trainer, TINY)(network)
    assert found.shape == (TINY.images, 16)
    assert torch.equal(kept, torch.arange(TINY.images))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_a_pipeline_keeps():
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    pipeline = Pipeline(lambda: None, module, optimizer)
    weights, buffers = 4 * (6 + 2 + 2 + 2), 4 * (2 + 2) + 8
    assert pipeline.held() == weights + buffers
    module(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    assert pipeline.held() == 3 * weights + buffers  # gradients and momentum
    module.register_buffer("shared", module[0].weight.grad)  # as Exemplar has it
    assert pipeline.held() == 3 * weights + buffers


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(timing, "MIN_CALLS", 1)
    monkeypatch.setattr(bench_train, "cases", lambda device: [TINY])

    def with_tiny_head(method, case):
        if method == "moco_v1":
            raise UsageError("does not fit")
        assert config(method, case).data.batch_size == 16
        return load_recipe(
            "moco_v2_cifar10", [*TINY_HEAD, "data.size=32", "data.batch_size=16", "encoder.width=0.125"]
        )

    monkeypatch.setattr(bench_train, "config", with_tiny_head)


def test_the_record_and_that_a_method_that_fails_costs_the_others_nothing(tmp_path, small, capsys):
    path = tmp_path / "train.json"
    assert bench_train.main(["--method", "moco_v1", "moco_v2", "--seconds", "0", "--json", str(path)]) == 1
    out = capsys.readouterr().out
    assert "moco_v1: does not fit" in out
    content = json.loads(path.read_text())
    assert {"CPU", "versions", "commit", "command"} <= content["header"].keys()
    assert {"lightly", "solo-learn"} == {
        words.split()[0] for words in content["header"]["other versions"].split(", ")
    }
    assert path.with_suffix(".png").stat().st_size > 10_000
    assert str(tmp_path) not in path.read_text()
    rows = {row["pipeline"]: row for row in content["results"]}
    assert rows.keys() - {"lightly", "solo-learn"} == {"sslfast"}
    for row in rows.values():
        assert (row["method"], row["batch"], row["case"]) == ("moco_v2", 16, "resnet18 x 0.125, 32 pixels")
        assert row["images_per_second"] == pytest.approx(16e3 / row["milliseconds"])
        assert row["peak_bytes"] is None or row["peak_bytes"] > 4 * 170_000  # the encoder's weights
    assert math.isfinite(rows["sslfast"]["overhead"])
    assert rows["sslfast"]["overhead"] < 1


def test_the_share_outside_the_networks_and_what_is_out_of_memory(small, monkeypatch):
    monkeypatch.setattr(bench_train, "extra_memory", lambda step, device: 1000)
    times = {bench_train.NETWORKS: [8.0, 18.0, 1.0], "sslfast": [10.0, 20.0, 2.0], "lightly": [], "solo-learn": []}
    monkeypatch.setattr(
        bench_train, "take_turns", lambda steps, device, seconds: {name: times[name] for name in steps}
    )
    found = {r.pipeline: r for r in bench_train.measure("moco_v2", TINY, noise(TINY), 0.0)}
    assert found["sslfast"].overhead == pytest.approx(0.2)
    assert found["sslfast"].images_per_second == 1600
    for name in found.keys() - {"sslfast"}:
        assert found[name].milliseconds is found[name].peak_bytes is None
        assert any("OOM" in line for line in lines([found["sslfast"], found[name]]))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_a_recipe_for_every_case(method, device):
    for case in cases(torch.device(device)):
        recipe = config(method, case)
        check(recipe)
        METHODS[method].check(recipe, case.images)
        assert (recipe.encoder.name, recipe.encoder.width) == (case.encoder, case.width)
        assert (recipe.data.size, recipe.data.batch_size) == (case.size, case.batch)


def result(method, milliseconds, pipeline="sslfast"):
    rate = None if milliseconds is None else 16e3 / milliseconds
    return Result("small", method, pipeline, 16, milliseconds, rate, None, None, 5, "c")


def test_a_method_that_is_measured_again_takes_the_place_of_what_it_was(tmp_path):
    path, header = tmp_path / "train.json", {"CPU": "one", "date": "Monday"}
    record = Record(path, header)
    record.add([result("byol", 1.0), result("byol", 2.0, "lightly")])
    record.add([result("simclr", 3.0)])
    record = Record(path, {**header, "date": "Tuesday"})
    record.add([result("byol", None)])
    assert record.results == Record(path, header).results == [result("byol", None), result("simclr", 3.0)]
    train_plot.draw(record.results, tmp_path / "train.png")


def test_results_of_another_machine_are_not_mixed_in(tmp_path):
    path = tmp_path / "train.json"
    Record(path, {"CPU": "one"}).add([result("byol", 1.0)])
    with pytest.raises(
        UsageError, match="holds results with CPU 'one', and here it is 'two'; choose another file"
    ):
        Record(path, {"CPU": "two"})
    with pytest.raises(UsageError, match="holds results with GPU None, and here it is 'a GPU'"):
        Record(path, {"CPU": "one", "GPU": "a GPU"})


def test_what_is_not_there(tmp_path, capsys):
    assert bench_train.main(["--json", str(tmp_path / "none" / "train.json")]) == 2
    assert "expected a file in a folder that exists" in capsys.readouterr().err
    assert bench_train.main(["--method", "moco_v22"]) == 2
    assert "did you mean 'moco_v2'" in capsys.readouterr().err
