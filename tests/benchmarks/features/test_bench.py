"""The benchmark of features: its record, what it refuses, and the images it reads."""

import dataclasses
import json

import pytest
import torch

from sslfast.benchmarks.features import bench, cases
from sslfast.benchmarks.features.reference import reference
from sslfast.evaluation.features import features

CPU = torch.device("cpu")


@pytest.fixture
def short(monkeypatch):
    """Keeps one case of each kind of images, of few images and a narrow encoder."""
    monkeypatch.setattr(cases, "DRAWN", 3)
    small = [dataclasses.replace(case, encoder=cases.NARROW, images=6) for case in cases.CASES]
    chosen = {(case.kind, case.as_array): dataclasses.replace(case, side=32) for case in small}
    monkeypatch.setattr(bench, "CASES", list(chosen.values()))


def test_the_record(tmp_path, short, monkeypatch):
    path = tmp_path / "features.json"
    monkeypatch.setattr(bench, "precisions", lambda: ("fp32", "bf16"))
    assert bench.main(["--rounds", "1", "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    assert {"date", "CPU", "versions", "commit", "photographs", "small images"} <= content["header"].keys()
    assert str(tmp_path) not in path.read_text()  # a record does not name this machine's folders
    measured = [(case.name, precision) for case in bench.CASES for precision in ("fp32", "bf16")]
    assert [(result["case"], result["precision"]) for result in content["results"]] == measured
    for result in content["results"]:
        seconds = {name: times[0] for name, times in result["seconds"].items()}
        assert result["ours"] == pytest.approx(result["images"] / seconds["ours"])
        assert result["ratio"] == pytest.approx(seconds["reference"] / seconds["ours"])
        assert result["processor_ratio"] > 0
        assert result["cosine"] > bench.LEAST_COSINE[result["precision"]]
        assert all(0 < share < 1 for share in result["convolutions"].values())


def test_given_images_are_embedded_as_often_as_needed(tmp_path, short, capsys):
    source, origin = cases.open_kind("small images", None, tmp_path)
    assert (len(source), origin) == (3, "none given: drawn ones of 32x32")
    array = next(case for case in bench.CASES if case.as_array)
    pixels = cases.images_of(array, source).images
    assert pixels.shape == (6, 32, 32, 3)
    assert (pixels[0] == pixels[3]).all()
    path = tmp_path / "features.json"
    folder = str(tmp_path / "small images")
    assert bench.main(["--rounds", "1", "--small-images", folder, "--case", "small", "--json", str(path)]) == 0
    header = json.loads(path.read_text())["header"]
    assert header["small images"] == "3 files of small images"


def test_both_embed_the_same_images(tmp_path):
    """Those of an array to the bit, as neither resizes them."""
    array = next(case for case in cases.CASES if case.as_array)
    source = cases.images_of(
        dataclasses.replace(array, images=5), cases.open_kind("small images", None, tmp_path)[0]
    )
    network = torch.nn.Flatten()
    ours, _ = features(network, source, array.data(), CPU)
    torch.testing.assert_close(reference(network, source, array.data(), 2), ours)


def test_features_that_differ_are_an_error(short, monkeypatch, capsys):
    monkeypatch.setattr(bench, "reference", lambda encoder, source, *_: -torch.ones(len(source), 64))
    assert bench.main(["--rounds", "1", "--case", "decoded"]) == 2
    assert "an image's features have a cosine of -" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--case", "resnet19"], "no case has these words; there are: "), (["--photographs", "/no/such"], "no such")],
)
def test_what_is_not_there_is_one_sentence(arguments, message, capsys):
    assert bench.main(arguments) == 2
    assert message in capsys.readouterr().err
