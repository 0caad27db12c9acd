"""The share of training that is lost to its input."""

import numpy as np
import pytest

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.benchmarks.views import input_share, pipelines
from sslfast.data import Source
from sslfast.methods import METHODS
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe
from sslfast.train.step import TrainStep
from tests.data.photographs import photographs


def test_what_training_loses_to_its_input(monkeypatch, capsys):
    """A loader that takes three times as long as a step leaves a quarter of the time to the steps."""
    monkeypatch.setattr(pipelines, "WARM_UP", 1)
    now = 0.0

    def endless(loader):
        nonlocal now
        while True:
            yield "batch"
            now += 3.0

    def take_step(train_step, batch):
        nonlocal now
        now += 1.0

    monkeypatch.setattr(input_share, "endless", endless)
    monkeypatch.setattr(TrainStep, "__call__", take_step)
    monkeypatch.setattr(pipelines.time, "perf_counter", lambda: now)
    settings = ["data.size=16", "data.batch_size=8", "encoder.width=0.25", "train.knn_every=0"]
    images = np.zeros((64, 16, 16, 3), dtype=np.uint8)
    (result,) = input_share.measure(load_recipe("moco_v2_cifar10", settings), Source("black", images=images), 10)
    assert result == input_share.InputShareResult("resnet18, 16 pixels, batches of 8", 2.0, 0.75)
    assert "2 images/s, 75.0% lost to the input" in capsys.readouterr().out


def test_the_runs_that_show_it_can_be(tmp_path):
    source = photographs(tmp_path)
    (small, noise), (large, many) = input_share.cases(source)
    for recipe, images in ((small, noise), (large, many)):
        check_recipe(recipe)
        METHODS[recipe.method.name].check(recipe, len(images))
    assert (small.encoder.name, small.data.size) == ("resnet18", 32)
    assert (large.encoder.name, large.data.size) == ("resnet50", 224)
    assert len(many) == input_share.IMAGENET
    assert set(many.paths) == set(source.paths)
