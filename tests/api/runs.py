"""Images, a network and settings of runs that take a second."""

import numpy as np
import torch
from torch import nn

SMALL = {
    "data.size": 16,
    "data.batch_size": 16,
    "optim.warmup_epochs": 0,
    "train.epochs": 2,
    "train.log_every": 1,
    "train.knn_every": 1,
    "train.threads": 1,
    "train.precision": "fp32",  # on every CPU
    "method.dim": 8,
    "method.hidden": 8,
}
LABELS = np.arange(48) % 4


def images():
    """Makes images of four colors, uint8 (48, 20, 20, 3)."""
    noise = np.random.default_rng(0).integers(0, 60, (48, 20, 20, 3))
    return (60 * LABELS[:, None, None, None] + noise).astype(np.uint8)


class Network(nn.Module):
    """A network of one's own: a map of 8 features, and a parameter that no layer draws."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, stride=2)
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x) * self.scale
