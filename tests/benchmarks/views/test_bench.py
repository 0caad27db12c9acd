"""The benchmark of the input pipelines: its record, and the photographs it reads."""

import json
from importlib.util import find_spec

import pytest

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.benchmarks.views import bench
from sslfast.data import loader
from tests.data.photographs import photographs


def test_the_record(tmp_path, short):
    folder = tmp_path / "photographs"
    folder.mkdir()
    photographs(folder)
    path = tmp_path / "views.json"
    assert bench.main(["--data", str(folder), "--seconds", "0", "--json", str(path)]) == 0
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
        base = results[bench.BASE]["images_per_second"]
        assert all(r["ratio"] == pytest.approx(r["images_per_second"] / base) for r in results.values())


def test_without_dali_small_images_are_measured(tmp_path, short, monkeypatch, capsys):
    monkeypatch.setattr(loader, "has_dali", lambda: False)
    path = tmp_path / "views.json"
    assert bench.main(["--seconds", "0", "--json", str(path)]) == 1
    assert "NVIDIA DALI, which is missing" in capsys.readouterr().err
    assert {result["recipe"] for result in json.loads(path.read_text())["results"]} == {"CIFAR, 32"}


def test_photographs_are_drawn_where_none_are_given(tmp_path, short):
    source, origin = bench.photographs(None, tmp_path)
    assert "none given by --data or SSLFAST_PHOTOGRAPHS: drawn ones of 500x375" in origin
    assert len(source) == bench.DRAWN * bench.LINKS
    assert source.image(0).size == bench.SIZE
    assert source.image(0) != source.image(bench.LINKS)


def test_photographs_that_are_not_there(capsys):
    assert bench.main(["--data", "/no/such/folder"]) == 2
    assert "no such file or folder" in capsys.readouterr().err
