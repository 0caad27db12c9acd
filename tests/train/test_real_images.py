"""Whole runs on real images, at a size that the CPU can take."""

import json

import pytest

from sslfast.cli import main

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


def pretrain(recipe, archive, run, *overrides):
    """Pre-trains on an archive; returns the losses of the steps."""
    arguments = ["pretrain", recipe, "--data", str(archive), "--out", str(run), "train.log_every=1", *overrides]
    assert main(arguments) == 0
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.long
def test_moco_on_cifar10_from_an_archive(shared_data, tmp_path, capsys):
    archive, run = shared_data / "cifar10" / "train.tar.xz", tmp_path / "run"
    small = ["data.limit=1000", "train.epochs=4", "encoder.width=0.25", "data.batch_size=64"]
    losses = pretrain("moco_v2_cifar10", archive, run, *small)
    assert len(losses) == 4 * 14
    assert sum(losses[-14:]) < sum(losses[14:28])

    for kind in ("knn", "linear"):
        assert main(["evaluate", kind, str(run), "--data", str(archive), "--random-baseline", "limit=500"]) == 0
    out = capsys.readouterr().out
    assert "knn on" in out
    assert "linear on" in out
    assert "10 classes, chance 10.0%" in out


def test_moco_on_photographs_through_dali(shared_data, tmp_path):
    archive, run = shared_data / "imagenette160" / "train-0.tar.xz", tmp_path / "run"
    small = ["data.limit=160", "train.epochs=2", "encoder.width=0.25", "data.batch_size=32"]
    assert len(pretrain("moco_v2", archive, run, *small, "method.queue_size=256")) == 2 * 4
    assert (run / "backbone.safetensors").exists()
