"""The training of a segmentation network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.config import DataConfig
from sslfast.data.evaluation import normalize
from sslfast.data.masks import MaskedImages
from sslfast.device import to_device
from sslfast.evaluation.segmentation.config import SegmentConfig
from sslfast.evaluation.segmentation.crops import crop_batches
from sslfast.evaluation.segmentation.fcn import FCN
from sslfast.evaluation.steps import train_by_steps
from sslfast.kernels.optimizers import FusedSGD

POWER, LEAST_RATE = 0.9, 1e-4  # of the schedule "poly", as mmsegmentation has it (schedule_20k)


def train_network(
    network: FCN,
    images: MaskedImages,
    data: DataConfig,
    options: SegmentConfig,
    device: torch.device,
    progress: Path,
) -> None:
    """Trains a segmentation network by SGD on random crops.

    Args:
        network: on the device; it is trained in place.
        images: all of which can be read.
        data: `mean` and `std` of the encoder's input.
        options: the schedule.
        device: where to train.
        progress: as of `train_by_steps`, which raises what this raises.
    """

    def losses(batch: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> dict[str, Tensor]:
        crops, masks = (to_device(part, device) for part in batch)
        return network.losses(normalize(crops.permute(0, 3, 1, 2), data.mean, data.std), masks)

    train_by_steps(
        network.train(),
        FusedSGD(network.parameters(), options.lr, momentum=options.momentum, weight_decay=options.weight_decay),
        lambda iterations: crop_batches(
            images,
            data.mean,
            size=options.size,
            batch_size=options.batch_size,
            iterations=iterations,
            seed=options.seed,
        ),
        losses,
        lambda step: learning_rate(step, options.iterations, options.lr),
        num_steps=options.iterations,
        seed=options.seed,
        device=device,
        progress=progress,
    )


def learning_rate(step: int, total_steps: int, peak: float) -> float:
    """Computes the rate of a step, from 0: (1 - step / total_steps) ^ POWER of the way from LEAST_RATE to `peak`.

    A peak below LEAST_RATE stays as it is.
    """
    least = min(LEAST_RATE, peak)
    return least + (peak - least) * (1 - step / total_steps) ** POWER
