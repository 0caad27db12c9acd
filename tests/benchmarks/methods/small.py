"""A small check of the methods: images, settings of MoCo v2, and the runs in a record."""

import json

import numpy as np

from sslfast.data import Source

SMALL = ("data.batch_size=16", "method.queue_size=32", "method.hidden=16", "encoder.norm=batch", "train.threads=1")


def noise(name, limit):
    """Makes images whose classes nothing tells apart."""
    pixels = np.random.default_rng(0).integers(0, 256, (limit, 32, 32, 3), dtype=np.uint8)
    return Source(name, images=pixels, labels=np.arange(limit) % 4, classes=list("abcd"))


def runs_in(folder):
    return {(run["method"], run["seed"]): run for run in json.loads((folder / "methods.json").read_text())["runs"]}
