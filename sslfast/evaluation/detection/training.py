"""The training of a detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sslfast.data.annotations import AnnotatedImages
from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.detection.examples import Example, on_device, training_batches
from sslfast.evaluation.steps import train_by_steps
from sslfast.kernels.optimizers import FusedSGD

BATCH = 16  # of which a learning rate is stated
WARMUP_START, FACTOR = 1e-3, 0.1  # the share of its peak that the rate begins with; what a step multiplies it by


def train_detector(
    detector: nn.Module,
    images: AnnotatedImages,
    options: DetectConfig,
    device: torch.device,
    progress: Path,
    *,
    masks: bool,
) -> None:
    """Trains a detector by SGD, at a rate that rises linearly and is divided by ten twice, as detectron2 does.

    Args:
        detector: on the device; it is trained in place.
        images: all of which can be read and show an object.
        options: the schedule.
        device: where to train.
        progress: as of `train_by_steps`, which raises what this raises.
        masks: train masks as well.
    """

    def losses(batch: list[Example]) -> dict[str, Tensor]:
        pixels, targets = zip(*(on_device(example, device) for example in batch), strict=True)
        found: dict[str, Tensor] = detector(list(pixels), list(targets))
        return {name.removeprefix("loss_"): loss for name, loss in found.items()}

    train_by_steps(
        detector.train(),
        build_optimizer(detector, options),
        lambda iterations: training_batches(
            images, batch_size=options.batch_size, iterations=iterations, seed=options.seed, masks=masks
        ),
        losses,
        lambda step: learning_rate(step, options),
        num_steps=options.iterations,
        seed=options.seed,
        device=device,
        progress=progress,
    )


def build_optimizer(detector: nn.Module, options: DetectConfig) -> FusedSGD:
    """Builds SGD without weight decay on normalizations, as detectron2's default is (WEIGHT_DECAY_NORM)."""
    norms = {p for module in detector.modules() if isinstance(module, _BatchNorm) for p in module.parameters()}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in detector.parameters() if p not in norms]},
        {"params": [p for p in detector.parameters() if p in norms], "weight_decay": 0.0},
    ]
    return FusedSGD(
        [group for group in groups if group["params"]],
        options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )


def learning_rate(step: int, options: DetectConfig) -> float:
    """Computes the rate of a step, counted from 0; of few steps, a tenth are the warm-up's at most."""
    published = options.published
    warmup = min(published.warmup, options.iterations // 10)
    peak = options.lr * options.batch_size / BATCH
    if step < warmup:
        return peak * (WARMUP_START + (1 - WARMUP_START) * step / warmup)
    return peak * FACTOR ** sum(step >= round(share * options.iterations) for share in published.steps)
