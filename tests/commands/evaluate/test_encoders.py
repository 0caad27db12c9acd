"""Which encoders are judged beside one another."""

import re
from pathlib import Path

import pytest
import torch

from sslfast.commands.evaluate import evaluate
from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from tests.commands.evaluate.images import write_images


def test_pre_trained_and_random_rows_are_of_different_weights(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", classes=("red", "crimson"), each=30)  # no telling them apart
    rows = evaluate("linear", saved, data, overrides=["epochs=2", "val_fraction=0.3"]).rows
    assert rows[0]["train_top1"] != rows[1]["train_top1"]


def test_seeds_are_judged_each_with_other_initial_weights(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", classes=("red", "crimson"), each=30)  # no telling them apart
    settings = ["epochs=2", "val_fraction=0.3", "batch_size=4"]
    result = evaluate("linear", saved, data, overrides=[*settings, "seed=7", "seeds=3"])
    assert [(row["encoder"], row["seed"]) for row in result.rows] == [
        (name, seed) for name in ("pre-trained", "random initialization") for seed in (7, 8, 9)
    ]
    alone = evaluate("linear", saved, data, overrides=[*settings, "seed=8"])
    assert alone.rows[0] == result.rows[1]  # the same encoder; the initial weights are those of the run's seed
    assert len({row["train_top1"] for row in result.rows[3:]}) > 1
    caption, _, headings, *lines = result.table().splitlines()
    assert "; 3 seeds: mean ± standard deviation" in caption
    assert "seed" not in headings
    assert len(lines) == 2
    assert all(re.search(r"\d% ± \d", line) for line in lines)

    knn = evaluate("knn", saved, data, overrides=["k=[5]", "seeds=2", "val_fraction=0.3"]).rows
    assert knn[0] == {**knn[1], "seed": 0}  # which draws nothing
    assert {**knn[2], "seed": 1} != knn[3]


def test_a_supervised_encoder_stands_beside(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    torch.manual_seed(5)
    torch.save(build_encoder(EncoderConfig(width=0.25)).state_dict(), tmp_path / "labels.pth")
    beside = evaluate("knn", saved, data, overrides=["k=[5]"], supervised=tmp_path / "labels.pth")
    assert [row["encoder"] for row in beside.rows] == ["pre-trained", "random initialization", "supervised"]
    own = evaluate("knn", tmp_path / "labels.pth", data, overrides=["k=[5]"], random_baseline=False)
    assert {**beside.rows[2], "encoder": "pre-trained"} == own.rows[0]
    assert f"supervised ones of {tmp_path / 'labels.pth'}" in beside.table()
    torch.save(build_encoder(EncoderConfig(width=0.25)).state_dict(), tmp_path / "labels.pth")
    evaluate("knn", saved, data, overrides=["k=[5]"], supervised=tmp_path / "labels.pth")
    assert len(list((tmp_path / "run" / "evaluation").glob("*.json"))) == 2  # other weights: another result


def test_weights_of_other_software_are_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_images(tmp_path / "images", each=8)
    torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / "theirs.pth")
    evaluation = evaluate("knn", tmp_path / "theirs.pth", data, overrides=["k=[5]"])
    assert [row["encoder"] for row in evaluation.rows] == ["pre-trained", "random initialization"]
    assert (evaluation.own_split, evaluation.step) == (False, None)
    assert evaluation.rows[0]["top1"] > 0.9
    assert list((tmp_path / "evaluation").glob("knn-images-*.json"))

    monkeypatch.chdir(tmp_path / "images")
    evaluate("knn", "random", data, overrides=["k=[5]"], architecture="resnet18")
    assert list((tmp_path / "images" / "evaluation").glob("knn-images-*.json"))
