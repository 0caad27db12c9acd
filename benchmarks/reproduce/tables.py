"""The sweeps of `make reproduce`: MNCL's tables 1 to 3 on CIFAR-10, in small and as published."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sslfast.sweep.grid import Sweep, read_sweep

# Linear top-1 on CIFAR-10's test images after 200 epochs, by the rows' names (Li, Long, Li 2023, tables 1 to 3).
METHODS = {
    "moco_v2": 0.8403,
    "simsiam": 0.8416,
    "simclr": 0.8711,
    "byol": 0.8558,
    "nnclr": 0.8766,
    "fast_moco": 0.8593,
    "mncl": 0.9018,
}
ABLATIONS = {
    "mncl, lambda 2": 0.8933,
    "mncl, lambda 4": 0.8950,
    "mncl, lambda 8": 0.8926,
    "mncl, lambda 10": 0.8927,
    "mncl, one embedding": 0.8984,
}
PUBLISHED = METHODS | ABLATIONS

# The protocol scaled down, the same for all: a tenth of the images and of the memory, a quarter of the batch (the
# learning rate follows it), an eighth of the width of encoder and heads, of heads 64 at least.
SMALL: dict[str, Any] = {
    "encoder.width": 0.125,
    "data.limit": 10_000,
    "data.val_fraction": 0.5,  # 5,000 to train on, 5,000 held out
    "data.batch_size": 64,
    "train.epochs": 20,
    "train.knn_every": 5,
    "train.knn_k": 20,
    "train.threads": 1,
}
MNCL_HEADS = {"method.dim": 256, "method.hidden": 256, "method.predictor_hidden": 64}
QUEUE = 1600
SMALL_HEADS: dict[str, dict[str, Any]] = {
    "moco_v2": {"method.dim": 64, "method.hidden": 64, "method.queue_size": QUEUE},
    "simsiam": MNCL_HEADS,
    "simclr": {"method.dim": 64, "method.hidden": 64},
    "byol": {"method.dim": 64, "method.hidden": 512},
    "nnclr": {
        "method.dim": 64,
        "method.hidden": 256,
        "method.predictor_hidden": 512,
        "method.queue_size": QUEUE,
    },
    "fast_moco": MNCL_HEADS,
    "mncl": {**MNCL_HEADS, "method.queue_size": QUEUE},
}
# On features that are computed once: the paper's 90 epochs of augmented images would take longer than training.
SMALL_PROBE = "linear form=lars lr=0.8 batch_size=256 epochs=90 standardize=false"
# Seconds of a whole test, which says nothing about methods.
QUICK: dict[str, Any] = {"data.limit": 160, "train.epochs": 1, "method.queue_size": 64, "encoder.width": 0.0625}


def small(*, seeds: int = 2, quick: bool = False) -> dict[str, Sweep]:
    """Makes the two sweeps in small, by the names of their folders: table 1, and the ablations for one seed.

    Args:
        seeds: of table 1.
        quick: two methods, for a second each.
    """
    methods = {
        method: {"recipe": f"{method}_mncl_cifar10", **heads}
        for method, heads in SMALL_HEADS.items()
        if not quick or method in ("nnclr", "mncl")
    }
    ablations = {name: {**methods["mncl"], **setting} for name, setting in _ablations().items()}
    shared = Sweep(recipe="mncl_mncl_cifar10", settings=SMALL, evaluate=SMALL_PROBE)
    if quick:
        methods = {name: {**settings, **QUICK} for name, settings in methods.items()}
        return {"table1": replace(shared, rows=methods)}
    return {"table1": replace(shared, rows=methods, seeds=seeds), "ablations": replace(shared, rows=ablations)}


def full() -> dict[str, Sweep]:
    """Makes the two sweeps as published: hours on a GPU for each run."""
    table1 = read_sweep("mncl_table1_cifar10")
    return {"table1": table1, "ablations": replace(table1, rows=_ablations())}


def _ablations() -> dict[str, dict[str, Any]]:
    lambdas = {f"mncl, lambda {value}": {"method.lam": value} for value in (2, 4, 8, 10)}
    return {**lambdas, "mncl, one embedding": {"method.one_embedding": True}}
