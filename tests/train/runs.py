"""A run that takes seconds, and what it leaves."""

import json
import os
import signal

import torch

from sslfast import distributed
from sslfast.recipes.load import load_recipe
from sslfast.run.checkpoint import load
from sslfast.train.step import TrainStep

# 162 training images: 5 steps an epoch. One thread, so that the sums of parallel runs agree to the bit.
TINY = [
    "data.limit=180",
    "data.batch_size=32",
    "encoder.width=0.125",
    "method.dim=16",
    "method.hidden=16",
    "method.queue_size=64",
    "optim.warmup_epochs=0",
    "train.epochs=3",
    "train.log_every=1",
    "train.knn_every=3",
    "train.threads=1",
    "train.precision=fp32",  # on every CPU
]
STEPS = 15


def tiny(*overrides):
    """Loads the recipe of the run."""
    return load_recipe("moco_v2_shapes", [*TINY, *overrides])


def lines(run):
    """Reads the metrics that a run logged."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def state(run):
    """Loads all that is in a run's checkpoint, which training must reproduce."""
    return load(run / "checkpoints" / "last.pt")


def assert_same(left, right, where="state"):
    """Asserts that two checkpoints are the same to the bit."""
    assert type(left) is type(right), where
    if isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    else:
        assert left == right, where


def signal_after(patch, steps, rank=0):
    """Sends SIGTERM to this process, if it is that of the rank, where a run has taken so many steps."""
    take_step = TrainStep.__call__

    def step_then_signal(self, batch):
        values = take_step(self, batch)
        if self.steps_done == steps and distributed.rank() == rank:
            os.kill(os.getpid(), signal.SIGTERM)
        return values

    patch.setattr(TrainStep, "__call__", step_then_signal)
