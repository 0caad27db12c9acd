"""The record of when, where and with what a run was made."""

import platform

import pytest
import torch

from sslfast.commands.pretrain import pretrain
from sslfast.errors import TrainingError
from sslfast.run.directory import RunDirectory
from sslfast.run.environment import read_starts, record_start

CPU = torch.device("cpu")


def test_a_run_records_its_start_and_its_resumption(tmp_path):
    settings = ["data.limit=40", "data.batch_size=16", "data.val_fraction=0.25", "encoder.width=0.0625"]
    settings += ["train.knn_every=0", "train.epochs=1", "optim.warmup_epochs=0"]
    pretrain("moco_v2_shapes", tmp_path / "run", overrides=settings)
    pretrain("moco_v2_shapes", tmp_path / "run", overrides=settings, resume=True)
    run = RunDirectory(tmp_path / "run")
    first, second = read_starts(run.environment)
    assert (first.step, second.step) == (0, 1)
    assert (first.train_images, first.held_out_images, first.processes) == (30, 10, 1)
    assert (first.device, first.threads) == ("CPU", torch.get_num_threads())
    assert first.versions["python"] == platform.python_version()
    assert torch.__version__.startswith(first.versions["torch"])
    pretrain("moco_v2_shapes", tmp_path / "run", overrides=settings, overwrite=True)
    assert [start.step for start in read_starts(run.environment)] == [0]


def test_damaged_lines_are_left_out(tmp_path):
    path = tmp_path / "environment.jsonl"
    assert read_starts(path) == []
    record_start(path, CPU, 5, 30, 10)
    line = path.read_text()
    path.write_text(f'{line}5\n[]\n{{"date": 3}}\n{line[:40]}\n{line}')
    assert [start.step for start in read_starts(path)] == [5, 5]


def test_a_record_that_cannot_be_written(tmp_path):
    with pytest.raises(TrainingError, match=r"environment\.jsonl: cannot write the environment \(No such file"):
        record_start(tmp_path / "missing" / "environment.jsonl", CPU, 0, 1, 1)
