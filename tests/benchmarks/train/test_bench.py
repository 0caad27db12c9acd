"""The benchmark of training steps: the pipelines, their shares and memory, and what the command leaves."""

import json
import math

import pytest
import torch
from torch import nn

from sslfast.benchmarks.measure import timing
from sslfast.benchmarks.train import bench
from sslfast.benchmarks.train.bench import Pipeline, embeddings
from sslfast.benchmarks.train.cases import noise, recipe_of
from sslfast.benchmarks.train.record import lines
from sslfast.device import choose_precision
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe
from tests.benchmarks.train.tiny import TINY, TINY_HEAD


def test_clustering_methods_get_embeddings_at_no_cost_to_the_network(train_step):
    network = nn.Sequential(train_step.method.encoder, train_step.method.head)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    vectors, index = embeddings(train_step, TINY)(network)
    assert vectors.shape == (TINY.num_images, 16)
    assert torch.equal(index, torch.arange(TINY.num_images))
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
    monkeypatch.setattr(bench, "cases", lambda device: [TINY])

    def with_tiny_head(method, case):
        if method == "moco_v1":
            raise UsageError("does not fit")
        assert recipe_of(method, case).data.batch_size == 16
        return load_recipe(
            "moco_v2_cifar10", [*TINY_HEAD, "data.size=32", "data.batch_size=16", "encoder.width=0.125"]
        )

    monkeypatch.setattr(bench, "recipe_of", with_tiny_head)


def test_the_record_and_that_a_method_that_fails_costs_the_others_nothing(tmp_path, small, capsys):
    path = tmp_path / "train.json"
    assert bench.main(["--method", "moco_v1", "moco_v2", "--seconds", "0", "--json", str(path)]) == 1
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
    in_bf16 = choose_precision("auto", "cpu") == "bf16"
    ours = {"sslfast", "sslfast, fp32"} if in_bf16 else {"sslfast"}
    assert rows.keys() - {"lightly", "solo-learn"} == ours
    for row in rows.values():
        assert (row["method"], row["batch"], row["case"]) == ("moco_v2", 16, "resnet18 x 0.125, 32 pixels")
        assert row["images_per_second"] == pytest.approx(16e3 / row["milliseconds"])
        assert row["peak_bytes"] is None or row["peak_bytes"] > 4 * 170_000  # the encoder's weights
    assert math.isfinite(rows["sslfast"]["overhead"])
    assert rows["sslfast"]["overhead"] < 1
    assert rows["sslfast"]["optimizer"] > 0


def test_the_share_outside_the_networks_and_what_is_out_of_memory(small, monkeypatch):
    monkeypatch.setattr(bench, "extra_memory", lambda step, device: 1000)
    parts = {bench.NETWORKS: [8.0, 18.0, 1.0], bench.UPDATE: [0.5, 0.3, 9.0]}
    times = {**parts, "sslfast": [10.0, 20.0, 2.0], "sslfast, fp32": [], "lightly": [], "solo-learn": []}
    monkeypatch.setattr(bench, "take_turns", lambda steps, device, seconds: {name: times[name] for name in steps})
    results = {r.pipeline: r for r in bench.measure("moco_v2", TINY, noise(TINY), 0.0)}
    assert results["sslfast"].overhead == pytest.approx(0.2)
    assert results["sslfast"].optimizer == pytest.approx(0.05)
    assert results["sslfast"].images_per_second == 1600
    for name in results.keys() - {"sslfast"}:
        assert results[name].milliseconds is results[name].peak_bytes is results[name].optimizer is None
        assert any("OOM" in line for line in lines([results["sslfast"], results[name]]))


def test_what_is_not_there(tmp_path, capsys):
    assert bench.main(["--json", str(tmp_path / "none" / "train.json")]) == 2
    assert "expected a file in a folder that exists" in capsys.readouterr().err
    assert bench.main(["--method", "moco_v22"]) == 2
    assert "did you mean 'moco_v2'" in capsys.readouterr().err
