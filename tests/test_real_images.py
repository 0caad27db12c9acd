"""Whole runs on real images, at a size that the CPU can take."""

import json

import pytest

from sslfast.cli import main

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_moco_on_cifar10_from_an_archive(shared_data, tmp_path, capsys):
    archive, run = str(shared_data / "cifar10" / "train.tar.xz"), tmp_path / "run"
    small = [
        "data.limit=1000",
        "train.epochs=6",
        "encoder.width=0.25",
        "data.batch_size=64",
    ]
    assert (
        main(["pretrain", "moco_v2_cifar10", "--data", archive, "--out", str(run), *small, "train.log_every=1"])
        == 0
    )
    losses = [line["loss"] for line in lines(run) if "loss" in line]
    assert len(losses) == 6 * 14
    assert sum(losses[-14:]) < sum(losses[14:28])

    arguments = [str(run), "--data", archive, "--random-baseline", "limit=1000"]
    assert main(["evaluate", "knn", *arguments]) == 0
    assert main(["evaluate", "linear", *arguments]) == 0
    out = capsys.readouterr().out
    assert "knn on" in out
    assert "linear on" in out
    assert "10 classes, chance 10.0%" in out


def test_moco_on_photographs_through_dali(shared_data, tmp_path):
    archive, run = str(shared_data / "imagenette160" / "train-0.tar.xz"), tmp_path / "run"
    small = [
        "data.limit=160",
        "train.epochs=2",
        "encoder.width=0.25",
        "data.batch_size=32",
        "method.queue_size=256",
    ]
    assert main(["pretrain", "moco_v2", "--data", archive, "--out", str(run), *small, "train.log_every=1"]) == 0
    assert len([line for line in lines(run) if "loss" in line]) == 2 * 4
    assert (run / "backbone.safetensors").exists()
