"""The record of when, where and with what a run was made."""

import platform

import numpy as np
import pytest
import torch

from sslfast.data import Source
from sslfast.errors import TrainingError, UsageError
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import RunDirectory
from sslfast.run.environment import read_starts, record_start
from sslfast.train.interrupt import Interrupt
from sslfast.train.trainer import Trainer

CPU = torch.device("cpu")


def trainer(run, epochs):
    """Makes a run on 30 images of noise; 10 more are held out."""
    settings = ["data.size=8", "data.batch_size=15", "data.val_fraction=0.25", "encoder.width=0.0625"]
    settings += ["method.queue_size=30", "train.knn_every=0", "optim.warmup_epochs=0", f"train.epochs={epochs}"]
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    source = Source("noise", images=images, labels=np.arange(40) % 2, classes=["a", "b"])
    return Trainer(load_recipe("moco_v2_shapes", settings), run, source)


def test_a_run_records_its_start_and_its_resumption(tmp_path):
    run = RunDirectory(tmp_path / "run")
    first = trainer(run, epochs=1)
    run.start(first.recipe, resume=False)
    first.fit(Interrupt())
    again = trainer(run, epochs=1)
    again.resume()
    again.fit(Interrupt())
    start, resumption = read_starts(run.environment)
    assert (start.step, resumption.step) == (0, 2)
    assert (start.train_images, start.held_out_images, start.processes) == (30, 10, 1)
    assert (start.device, start.threads) == ("CPU", torch.get_num_threads())
    assert start.versions["python"] == platform.python_version()
    assert torch.__version__.startswith(start.versions["torch"])
    run.check_usable(first.recipe, resume=True, overwrite=False)  # the record is a part of the run
    run.start(first.recipe, resume=False)
    assert read_starts(run.environment) == []


def test_damaged_lines_are_left_out(tmp_path):
    path = tmp_path / "environment.jsonl"
    assert read_starts(path) == []
    record_start(path, CPU, 5, 30, 10, epochs=3, initial_weights=None)
    line = path.read_text()
    path.write_text(f'{line}5\n[]\n{{"date": 3}}\n{line[:40]}\n{line}')
    assert [start.step for start in read_starts(path)] == [5, 5]


def test_a_record_that_cannot_be_read(tmp_path):
    """As root reads any file: a folder in its place."""
    with pytest.raises(UsageError, match=f"{tmp_path}: cannot read the starts of the run: Is a directory"):
        read_starts(tmp_path)


def test_a_record_that_cannot_be_written(tmp_path):
    with pytest.raises(TrainingError, match=r"environment\.jsonl: cannot write the environment \(No such file"):
        record_start(tmp_path / "missing" / "environment.jsonl", CPU, 0, 1, 1, epochs=1, initial_weights=None)
