"""Labeled images for evaluations: noise, in classes of their own brightness, which is plain to any encoder."""

import numpy as np

from sslfast.config import DataConfig
from sslfast.data import Source

DATA = DataConfig(size=16)


def pictures(count: int, seed: int) -> Source:
    """Makes `count` images of 16 x 16 pixels in three classes, in turns."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(seed).integers(0, 60, (count, 16, 16, 3)) + 90 * labels[:, None, None, None]
    return Source("pictures", images=images.astype(np.uint8), labels=labels, classes=["a", "b", "c"])
