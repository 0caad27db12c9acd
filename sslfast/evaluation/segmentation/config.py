"""The settings of segmentation, and the published numbers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, CountOrZero, NonNegative, Probability
from sslfast.evaluation.options import EvaluationConfig

LEAST_SIDE, MOST_SIDE = 16, 2**14  # pixels

PUBLISHED: dict[str, dict[str, Any]] = {
    # LEWEL (Huang et al. 2022), section 4.3: 20k iterations of 16 images. It searches the learning rate and states
    # no other number: these are of mmsegmentation, which it trains with (schedule_20k, pascal_voc12).
    "voc": {"iterations": 20_000, "batch_size": 16, "size": 512, "lr": 0.01},
    # ours
    "short": {"iterations": 300, "batch_size": 8, "size": 128, "lr": 0.02},
}


@dataclass(config=STRICT)
class SegmentConfig(EvaluationConfig):
    """A fully convolutional network on the encoder, trained on masks: LEWEL's protocol (Huang et al. 2022)."""

    protocol: Literal["short", "voc"] = "short"
    """Defaults of the settings below. voc: LEWEL's and mmsegmentation's for Pascal VOC 2012; short: ours, for a
    CPU and a small encoder."""
    classes: str | None = None
    """Classes to use, in this order: names with commas between, or a text file with a name a line; null: all.
    Pixels of others are of the background, the first class."""
    iterations: CountOrZero = 0
    """Number of training steps; 0: the protocol's, 20000 (voc), 300 (short)."""
    batch_size: CountOrZero = 0
    """Number of crops in a step; 0: the protocol's, 16 (voc), 8 (short)."""
    size: CountOrZero = 0
    """Side of the training crops in pixels, and the shorter side of images that are tested; 0: the protocol's, 512
    (voc), 128 (short)."""
    lr: NonNegative = 0.0
    """Learning rate of the first step, of the encoder and the heads alike; 0: the protocol's, 0.01 (voc), 0.02
    (short)."""
    momentum: Probability = 0.9
    """Momentum of SGD; mmsegmentation's."""
    weight_decay: NonNegative = 5e-4
    """Weight decay: an L2 penalty on all parameters; mmsegmentation's."""

    def __post_init__(self) -> None:
        published = PUBLISHED[self.protocol]
        self.iterations = self.iterations or published["iterations"]
        self.batch_size = self.batch_size or published["batch_size"]
        self.size = self.size or published["size"]
        self.lr = self.lr or published["lr"]
        if self.batch_size == 1:
            raise ValueError("batch_size=1: expected at least 2 crops in a step, for batch normalization")
        if not LEAST_SIDE <= self.size <= MOST_SIDE:
            raise ValueError(f"size={self.size}: expected {LEAST_SIDE} to {MOST_SIDE} pixels")
