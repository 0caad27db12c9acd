"""The settings of fine-tuning."""

from __future__ import annotations

import re
from typing import Literal

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, Count, CountOrZero, NonNegative, Probability
from sslfast.evaluation.options import ClassificationConfig

SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
# LEWEL's (Huang et al. 2022, section 4.2) rates of the encoder and of the head, at most this share of the labels.
RATES = {0.01: (1e-4, 1.0), 0.1: (1e-2, 0.1), 1.0: (1e-2, 0.1)}  # all labels: ours, as of 10 %


@dataclass(config=STRICT)
class FinetuneConfig(ClassificationConfig):
    """An encoder that is trained with a classifier on few labels or all: LEWEL's protocol (Huang et al. 2022)."""

    labels: str = "100%"
    """Training images whose labels are used: a share such as 1% or 10%, balanced over the classes, the same for a
    seed; or a text file of their names, a line each."""
    frozen: CountOrZero | Literal["all"] = 0
    """Number of the encoder's first stages that stay as they are, running statistics too, of a ResNet's five; all:
    only the head is trained."""
    head: Literal["linear", "mlp"] = "linear"
    """Classifier. linear: one layer; mlp: a hidden layer as wide as the features before it."""
    epochs: Count = 50
    """Number of passes over the images."""
    lr: NonNegative | None = None
    """Learning rate of the encoder at a batch of 256, scaled linearly with it; null: 1e-4 with up to 1 % of the
    labels, else 1e-2."""
    head_lr: NonNegative | None = None
    """Learning rate of the head likewise; null: 1.0 with up to 1 % of the labels, else 0.1."""
    schedule: Literal["steps", "cosine"] = "steps"
    """Course of the rates. steps: / 10 at 60 % and 80 % of the epochs; cosine: to 0."""
    batch_size: Count = 256
    """Number of images in a step, at most all that have labels."""
    momentum: Probability = 0.9
    """Momentum of SGD."""
    weight_decay: NonNegative = 0.0
    """Weight decay: an L2 penalty on the encoder and the head."""

    def __post_init__(self) -> None:
        if stated := SHARE.fullmatch(self.labels):
            share = float(stated[1]) / 100
            if not 0 < share <= 1:
                raise ValueError(f"labels={self.labels}: expected more than 0% and at most 100%")
            self.set_rates(share)

    def set_rates(self, share: float) -> None:
        """Sets the rates that are not given by the share of the labels that are used."""
        lr, head_lr = next(rates for most, rates in RATES.items() if share <= most)
        self.lr = lr if self.lr is None else self.lr
        self.head_lr = head_lr if self.head_lr is None else self.head_lr
