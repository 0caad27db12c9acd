"""The linear probe on features by SGD or LARS."""

from __future__ import annotations

import logging
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from sslfast.evaluation.accuracy import Predictions, accuracy, class_ranks
from sslfast.evaluation.classifier import linear_head
from sslfast.evaluation.divergence import check_finite
from sslfast.evaluation.linear.config import LinearConfig
from sslfast.evaluation.protocol import Row
from sslfast.kernels.optimizers import FusedLARS
from sslfast.optim.schedules import cosine
from sslfast.progress import trange

log = logging.getLogger(__name__)

TRUST_COEFFICIENT = 1e-3  # of LARS (You et al. 2017, arXiv:1708.03888)
ENOUGH_REACH = 3  # lengths of the classifier; from a few on, LARS comes to the training accuracy of SGD


def linear_probe(
    train_x: Tensor, train_y: Tensor, val_x: Tensor, val_y: Tensor, *, config: LinearConfig, num_classes: int
) -> Row:
    """Measures the accuracy of a linear classifier trained on frozen features by SGD or LARS on the cross-entropy.

    The forms are those of MoCo (He et al. 2020, section 4.1: SGD, lr 30, 100 epochs) and SimSiam (Chen and He
    2021, appendix A: LARS, lr 0.1, batch 4096, 90 epochs). Where this, protocol=features, differs from them:

    - Features are computed once, from images without augmentation; the papers augment them anew each epoch, as the
      protocols of PUBLISHED do.
    - By default they are standardized first, a batch norm without affine parameters over the whole set, as
      MAE (He et al. 2022, appendix A.1) puts before its classifier. lr 30 suits the small features of one network;
      standardized ones make lr 0.1 fit any scale of features and as few as some dozens of images.
    - An epoch's images are dealt into batches of equal size up to one, so that no batch is a small remainder.

    LARS takes small relative steps: with few images, and so few steps, it stops far from the optimum. A warning
    says so, with the training accuracy and what to set.

    Args:
        train_x: (N, D) fp32 features.
        train_y: (N,) int64 classes in [0, num_classes).
        val_x: (M, D) fp32 features, on the same device.
        val_y: (M,) int64 classes.
        config: the form and its settings; on the CPU its seed determines the result bit for bit.
        num_classes: number of classes.

    Returns:
        {"train_top1"}, a share in [0, 1], and those of `Predictions.row`.

    Raises:
        TrainingError: the training has diverged.
    """
    if config.standardize:
        train_x, val_x = standardize(train_x, val_x)
    batch = min(config.batch_size, len(train_x))
    steps = math.ceil(len(train_x) / batch)
    base = config.lr * batch / 256

    generator = torch.Generator().manual_seed(config.seed)
    classifier = linear_head(train_x.shape[1], num_classes, generator).to(train_x.device)
    optimizer = _optimizer(classifier, config, base)

    with torch.enable_grad():
        for epoch in trange(config.epochs, desc="linear probe", unit="epoch", leave=False, disable=None):
            order = torch.randperm(len(train_x), generator=generator).to(train_x.device)
            for step, chosen in enumerate(order.tensor_split(steps)):
                for group in optimizer.param_groups:
                    group["lr"] = _learning_rate(epoch * steps + step, config.epochs * steps, config.form, base)
                loss = F.cross_entropy(classifier(train_x[chosen]), train_y[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    with torch.no_grad():
        train_scores = classifier(train_x)
        check_finite(train_scores)
        train = accuracy(class_ranks(train_scores, train_y), num_classes)
        held_out = Predictions(num_classes)
        held_out.add(classifier(val_x), val_y)
    warn_of_short_lars(config, len(train_x), f" (training accuracy {train['top1']:.1%})")
    return {"train_top1": train["top1"], **held_out.row()}


def warn_of_short_lars(config: LinearConfig, num_images: int, outcome: str = "") -> None:
    """Warns of a training by LARS that is too short to move the classifier to where it fits the images."""
    if config.form == "lars" and (reach := lars_reach(config, num_images)) < ENOUGH_REACH:
        log.warning(
            "evaluate linear, form=lars: its %d steps move the classifier by at most %.2g times its own length, "
            "too little to fit %d images%s; set form=sgd, or epochs=%d",
            config.epochs * math.ceil(num_images / min(config.batch_size, num_images)),
            reach,
            num_images,
            outcome,
            math.ceil(config.epochs * ENOUGH_REACH / reach),
        )


def lars_reach(config: LinearConfig, num_images: int) -> float:
    """Computes the distance that LARS can move a tensor by in a training, in lengths of the tensor.

    A step is lr * trust coefficient of the length, and momentum repeats it 1 / (1 - momentum) times in all.

    Args:
        config: a probe's settings.
        num_images: number of training images.
    """
    batch = min(config.batch_size, num_images)
    total_steps = config.epochs * math.ceil(num_images / batch)
    base = config.lr * batch / 256
    rates = sum(_learning_rate(step, total_steps, "lars", base) for step in range(total_steps))
    repeats = min(total_steps, 1 / max(1 - config.momentum, 1e-9))
    return rates * TRUST_COEFFICIENT * repeats


def standardize(train_x: Tensor, val_x: Tensor) -> tuple[Tensor, Tensor]:
    """Subtracts the training features' mean from both (N, D) and (M, D), and divides by their deviation.

    A feature that is the same for all training images, up to rounding, becomes 0 everywhere.
    """
    std, mean = torch.std_mean(train_x, dim=0, correction=0)
    scale = torch.where(std > 1e-6 * mean.abs(), 1 / std, 0)
    return (train_x - mean) * scale, (val_x - mean) * scale


def _optimizer(classifier: nn.Module, config: LinearConfig, lr: float) -> Optimizer:
    momentum, weight_decay = config.momentum, config.weight_decay or 0.0
    if config.form == "sgd":
        return SGD(classifier.parameters(), lr, momentum=momentum, weight_decay=weight_decay)
    return FusedLARS(
        classifier.parameters(),
        lr,
        momentum=momentum,
        weight_decay=weight_decay,
        trust_coefficient=TRUST_COEFFICIENT,
    )


def _learning_rate(step: int, total_steps: int, form: str | None, base: float) -> float:
    if form == "lars":
        return cosine(step, total_steps, base, 0.0)
    return base * 0.1 ** ((step >= 0.6 * total_steps) + (step >= 0.8 * total_steps))
