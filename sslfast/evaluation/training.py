"""The training of a classifier on augmented images, for evaluations."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from sslfast.config import DataConfig, ViewConfig
from sslfast.data import LoaderSpec, Source, eval_batches, load_small, make_loader
from sslfast.errors import UsageError
from sslfast.evaluation.accuracy import Predictions
from sslfast.evaluation.classifier import Classifier
from sslfast.evaluation.divergence import check_finite
from sslfast.evaluation.progress import restore_progress, save_progress
from sslfast.kernels.optimizers import FusedLARS, FusedOptimizer, FusedSGD
from sslfast.optim.schedules import cosine
from sslfast.progress import tqdm

log = logging.getLogger(__name__)

# Of images to train a classifier on: a random resized crop and a flip, as in the papers' linear protocols.
CROP_AND_FLIP = ViewConfig(scale=(0.08, 1.0), jitter=0.0, grayscale=0.0)
STEPS, FACTOR = (0.6, 0.8), 0.1  # the rate is divided by ten at these shares of training


@dataclass(frozen=True)
class Schedule:
    """How a classifier is trained.

    Attributes:
        epochs: passes over the images.
        batch_size: images in a step, at most all of them.
        optimizer: "sgd" or "lars".
        lr: learning rate of the encoder at a batch of 256, scaled linearly with the batch.
        head_lr: that of the head.
        momentum, weight_decay: of both.
        schedule: "steps", by STEPS and FACTOR, or "cosine", to 0.
        seed: of the order of the images and of their augmentation.
    """

    epochs: int
    batch_size: int
    optimizer: Literal["sgd", "lars"]
    lr: float
    head_lr: float
    momentum: float
    weight_decay: float
    schedule: Literal["steps", "cosine"]
    seed: int

    def factor(self, step: int, total_steps: int) -> float:
        """Computes the share of its peak that the learning rate has at a step, counted from 0."""
        if self.schedule == "cosine":
            return cosine(step, total_steps, 1.0, 0.0)
        return FACTOR ** sum(step >= share * total_steps for share in STEPS)


def train_classifier(
    classifier: Classifier,
    source: Source,
    data: DataConfig,
    schedule: Schedule,
    device: torch.device,
    progress: Path,
) -> None:
    """Trains a classifier on the cross-entropy of randomly cropped and flipped images.

    As in pre-training, images that do not fill an epoch's last batch are left out of that epoch, others in each.

    Args:
        classifier: on the device; it is trained in place.
        source: labeled images.
        data: `size`, `mean` and `std` of the encoder's input.
        schedule: how.
        device: where to train.
        progress: a file that is written after each epoch and removed at the end: if it is there, training goes on
            from it, to the same result.

    Raises:
        UsageError: a step is of a single image, which batch normalization cannot take; or the file is damaged, or
            of another training.
        TrainingError: it cannot be written, or the training has diverged.
    """
    batch_size = min(schedule.batch_size, len(source))
    classifier.train()
    check_step(classifier, batch_size, schedule, source)
    data = dataclasses.replace(data, batch_size=batch_size, views=[CROP_AND_FLIP])
    loader = make_loader(LoaderSpec(load_small(source, data, device), data, schedule.seed, device))
    optimizer, total = build_optimizer(classifier, schedule, batch_size), schedule.epochs * loader.steps_per_epoch
    first = restore_progress(progress, classifier, optimizer, "epoch")
    with tqdm(
        total=total, initial=first * loader.steps_per_epoch, desc="classifier", leave=False, disable=None
    ) as bar:
        for epoch in range(first, schedule.epochs):
            classifier.train()
            losses = []
            for step, batch in enumerate(loader.epoch(epoch), epoch * loader.steps_per_epoch):
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * schedule.factor(step, total)
                assert batch.label is not None
                loss = F.cross_entropy(classifier(batch.views[0]), batch.label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
                bar.update()
            log.info("epoch %d of %d: loss %.3f", epoch + 1, schedule.epochs, torch.stack(losses).mean())
            check_finite(torch.stack(losses))
            save_progress(progress, classifier, optimizer, epoch + 1)
    progress.unlink()


def check_step(classifier: Classifier, batch_size: int, schedule: Schedule, source: Source) -> None:
    """Refuses steps of a single image for a classifier in training whose batch normalization needs several."""
    if batch_size == 1 and any(isinstance(part, _BatchNorm) and part.training for part in classifier.modules()):
        raise UsageError(
            f"batch_size={schedule.batch_size}, {len(source)} images of {source.name}: expected at least 2 images "
            "in a step, for batch normalization"
        )


def build_optimizer(classifier: Classifier, schedule: Schedule, batch_size: int) -> FusedOptimizer:
    """Builds the optimizer of what is trained of a classifier, its encoder and its head at rates of their own."""
    scale = batch_size / 256
    groups = [
        {"params": [p for p in part.parameters() if p.requires_grad], "lr": lr * scale, "peak": lr * scale}
        for part, lr in ((classifier.encoder, schedule.lr), (classifier.head, schedule.head_lr))
    ]
    kind: Callable[..., FusedOptimizer] = FusedSGD if schedule.optimizer == "sgd" else FusedLARS
    return kind(
        [group for group in groups if group["params"]],
        schedule.head_lr * scale,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )


@torch.no_grad()
def predictions(
    classifier: Classifier, source: Source, data: DataConfig, device: torch.device, batch_size: int
) -> Predictions:
    """Collects what a classifier makes of the images that can be read, which are not augmented.

    Raises:
        TrainingError: the training has diverged.
    """
    assert source.labels is not None
    classifier.eval()
    found = Predictions(len(source.classes))
    for images, index in eval_batches(source, data.size, data, batch_size, device):
        scores = classifier(images).float()
        check_finite(scores)
        found.add(scores, torch.from_numpy(source.labels)[index.cpu()].to(device))
    return found
