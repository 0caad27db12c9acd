"""The benchmark of the input pipelines: what is compared gives the same kind of batch, and a record is left."""

import contextlib
import dataclasses
import itertools
import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.benchmarks.views import bench as bench_views
from sslfast.benchmarks.views import input_share
from sslfast.benchmarks.views import pipelines as view_pipelines
from sslfast.data import Source, loader
from sslfast.methods import METHODS
from sslfast.recipes.check import check
from sslfast.recipes.load import load_recipe
from tests.data.photographs import photographs

CPU = torch.device("cpu")


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(bench_views, "ROUNDS", 1)
    monkeypatch.setattr(view_pipelines, "WARM_UP", 1)
    monkeypatch.setattr(bench_views, "DRAWN", 2)
    recipes = bench_views.recipes

    def small(source):
        return [
            dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, batch_size=4))
            for recipe in recipes(source)
        ]

    monkeypatch.setattr(bench_views, "recipes", small)


def test_every_pipeline_gives_normalised_views(tmp_path, short):
    for recipe, size in zip(bench_views.recipes(photographs(tmp_path)), (224, 32), strict=True):
        for name, pipeline in recipe.pipelines.items():
            with contextlib.closing(pipeline(recipe.source, recipe.data, CPU)) as batches:
                for views in itertools.islice(batches, 6):  # over the end of an epoch
                    assert len(views) == 2, name
                    for view in views:
                        assert view.shape == (4, 3, size, size), name
                        assert view.dtype == torch.float32, name
                        assert -3 < view.min() < view.max() < 3, name


def test_the_record(tmp_path, short):
    folder = tmp_path / "photographs"
    folder.mkdir()
    photographs(folder)
    path = tmp_path / "views.json"
    assert bench_views.main(["--data", str(folder), "--seconds", "0", "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    assert {"date", "CPU", "versions", "commit", "photographs"} <= content["header"].keys()
    assert str(tmp_path) not in path.read_text()  # a record does not name this machine's folders
    by_recipe = {}
    for result in content["results"]:
        by_recipe.setdefault(result["recipe"], {})[result["pipeline"]] = result
        assert result["images_per_second"] > 0
    peers = {"torchvision, tensors", "torchvision, PIL"} | ({"kornia"} if find_spec("kornia") else set())
    assert by_recipe["photographs, 224"].keys() == {"sslfast", "DALI alone", *peers}
    assert by_recipe["CIFAR, 32"].keys() == {"sslfast", *peers}
    for results in by_recipe.values():
        base = results[bench_views.BASE]["images_per_second"]
        assert all(r["ratio"] == pytest.approx(r["images_per_second"] / base) for r in results.values())


def test_without_dali_small_images_are_measured(tmp_path, short, monkeypatch, capsys):
    monkeypatch.setattr(loader, "_has_dali", lambda: False)
    path = tmp_path / "views.json"
    assert bench_views.main(["--seconds", "0", "--json", str(path)]) == 1
    assert "NVIDIA DALI, which is missing" in capsys.readouterr().err
    assert {result["recipe"] for result in json.loads(path.read_text())["results"]} == {"CIFAR, 32"}


def test_what_training_loses_to_its_input(monkeypatch, capsys):
    """A loader that takes three times as long as a step leaves a quarter of the time to the steps."""
    monkeypatch.setattr(view_pipelines, "WARM_UP", 1)
    now = 0.0

    def endless(loader):
        nonlocal now
        while True:
            yield "batch"
            now += 3.0

    def train_step(trainer, batch):
        nonlocal now
        now += 1.0

    monkeypatch.setattr(input_share, "endless", endless)
    monkeypatch.setattr(input_share.Trainer, "train_step", train_step)
    monkeypatch.setattr(view_pipelines.time, "perf_counter", lambda: now)
    settings = ["data.size=16", "data.batch_size=8", "encoder.width=0.25", "train.knn_every=0"]
    images = np.zeros((64, 16, 16, 3), dtype=np.uint8)
    (found,) = input_share.measure(load_recipe("moco_v2_cifar10", settings), Source("black", images=images), 10)
    assert found == input_share.Result("resnet18, 16 pixels, batches of 8", 2.0, 0.75)
    assert "2 images/s, 75.0% lost to the input" in capsys.readouterr().out


def test_the_runs_that_show_it_can_be(tmp_path):
    source = photographs(tmp_path)
    (small, noise), (large, many) = input_share.cases(source)
    for config, images in ((small, noise), (large, many)):
        check(config)
        METHODS[config.method.name].check(config, len(images))
    assert (small.encoder.name, small.data.size) == ("resnet18", 32)
    assert (large.encoder.name, large.data.size) == ("resnet50", 224)
    assert len(many) == input_share.IMAGENET
    assert set(many.paths) == set(source.paths)


def test_photographs_are_drawn_where_none_are_given(tmp_path, short):
    source, origin = bench_views.photographs(None, tmp_path)
    assert "none given by --data or SSLFAST_PHOTOGRAPHS: drawn ones of 500x375" in origin
    assert len(source) == bench_views.DRAWN * bench_views.LINKS
    assert source.image(0).size == bench_views.SIZE
    assert source.image(0) != source.image(bench_views.LINKS)


def test_photographs_that_are_not_there(capsys):
    assert bench_views.main(["--data", "/no/such/folder"]) == 2
    assert "no such file or folder" in capsys.readouterr().err
