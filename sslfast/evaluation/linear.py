"""The linear probe: how well one linear layer on frozen features tells the classes apart."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from tqdm import trange

from sslfast.config import DataConfig
from sslfast.config.fields import STRICT, CountOrZero, NonNegative, Probability
from sslfast.data import Source
from sslfast.device import choose_device
from sslfast.encoders import Encoder
from sslfast.evaluation.accuracy import accuracy, class_mean, class_ranks
from sslfast.evaluation.classification import classification
from sslfast.evaluation.classifier import Classifier, linear_head
from sslfast.evaluation.features import train_val_features
from sslfast.evaluation.options import EvaluationConfig
from sslfast.evaluation.protocol import Row
from sslfast.evaluation.training import PROGRESS, Schedule, classifier_accuracy, train_classifier, with_ending
from sslfast.kernels.optimizers import FusedLARS
from sslfast.optim.schedules import cosine

log = logging.getLogger(__name__)

# The sources' protocols: what they train the classifier by, on images that are augmented anew each epoch. Learning
# rates are at a batch of 256. None has a weight decay.
PUBLISHED: dict[str, dict[str, Any]] = {
    # He et al. 2020 (arXiv:1911.05722), section 4.1
    "moco": {"form": "sgd", "epochs": 100, "lr": 30.0, "batch_size": 256},
    # Chen and He 2021 (arXiv:2011.10566), appendix A
    "simsiam": {"form": "lars", "epochs": 90, "lr": 0.1, "batch_size": 4096},
    # MNCL, section 4.1
    "mncl": {"form": "lars", "epochs": 90, "lr": 0.8, "batch_size": 256},
    # LEWEL (Huang et al. 2022), section 4.1, its two forms; 3.2 at a batch of 4096, and the steps at 30 and 40
    "lewel_m": {"form": "lars", "epochs": 90, "lr": 0.2, "batch_size": 4096},
    "lewel_b": {"form": "sgd", "epochs": 50, "lr": 0.4, "batch_size": 256},
}
ON_FEATURES = "features"
TRUST_COEFFICIENT = 1e-3  # of LARS (You et al. 2017, arXiv:1708.03888)
ENOUGH_REACH = 3  # lengths of the classifier; from a few on, LARS comes to the training accuracy of SGD


@dataclass(config=STRICT)
class LinearConfig(EvaluationConfig):
    """A linear classifier on the frozen encoder, the linear probe."""

    protocol: Literal["features", "moco", "simsiam", "mncl", "lewel_m", "lewel_b"] = "features"
    """What the classifier is trained on, and the defaults. features: features that are computed once, of images as
    they are; moco, simsiam, mncl, lewel_m, lewel_b: images that are cropped and flipped anew each epoch, by the
    settings of that paper."""
    form: Literal["sgd", "lars"] | None = None
    """Optimizer and schedule. sgd: lr / 10 at 60 % and 80 % of the epochs; lars: a cosine; null: the protocol's,
    for features sgd."""
    epochs: CountOrZero = 0
    """Number of passes over the images; 0: the protocol's, for features 100 (sgd), 90 (lars)."""
    lr: NonNegative = 0.0
    """Learning rate at a batch of 256, scaled linearly with it; 0: the protocol's, for features 0.1, or 30 for sgd
    without standardise."""
    batch_size: CountOrZero = 0
    """Number of images in a step, at most all training images; 0: the protocol's, for features 256 (sgd), 4096
    (lars)."""
    momentum: Probability = 0.9
    """Momentum of sgd and lars."""
    weight_decay: NonNegative = 0.0
    """Weight decay: an L2 penalty on the classifier."""
    standardise: bool | None = None
    """Whether each feature gets mean 0 and variance 1, over the training images or over a batch of augmented ones,
    or stays as it is; null: for features only."""

    def __post_init__(self) -> None:
        published = PUBLISHED.get(self.protocol, {})
        self.form = self.form or published.get("form", "sgd")
        sgd = self.form == "sgd"
        if self.standardise is None:
            self.standardise = self.protocol == ON_FEATURES
        self.epochs = self.epochs or published.get("epochs", 100 if sgd else 90)
        self.lr = self.lr or published.get("lr", 30.0 if sgd and not self.standardise else 0.1)
        self.batch_size = self.batch_size or published.get("batch_size", 256 if sgd else 4096)


def linear_probe(
    train_x: Tensor, train_y: Tensor, val_x: Tensor, val_y: Tensor, *, config: LinearConfig, num_classes: int
) -> dict[str, float]:
    """The accuracy of a linear classifier trained on frozen features by SGD or LARS on the cross-entropy.

    The forms are those of MoCo (He et al. 2020, section 4.1: SGD, lr 30, 100 epochs) and SimSiam (Chen and He
    2021, appendix A: LARS, lr 0.1, batch 4096, 90 epochs). Where this, protocol=features, differs from them:

    - Features are computed once, from images without augmentation; the papers augment them anew each epoch, as the
      protocols of PUBLISHED do.
    - By default they are standardised first, a batch norm without affine parameters over the whole set, as
      MAE (He et al. 2022, appendix A.1) puts before its classifier. lr 30 suits the small features of one network;
      standardised ones make lr 0.1 fit any scale of features and as few as some dozens of images.
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
        {"train_top1", "top1", "top5", "class_mean"}, shares in [0, 1]; "top5" only with more than five classes;
        "class_mean" as of `accuracy.class_mean`.
    """
    if config.standardise:
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
        train = accuracy(class_ranks(classifier(train_x), train_y), num_classes)
        ranks = class_ranks(classifier(val_x), val_y)
    warn_of_short_lars(config, len(train_x), f" (training accuracy {train['top1']:.1%})")
    return {"train_top1": train["top1"], **accuracy(ranks, num_classes), "class_mean": class_mean(ranks, val_y)}


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
    """The distance that LARS can move a tensor by in a training, in lengths of the tensor.

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
    momentum, weight_decay = config.momentum, config.weight_decay
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


def _judge(
    encoder: Encoder, train: Source, val: Source, data: DataConfig, options: LinearConfig, stem: Path
) -> list[Row]:
    classes = len(train.classes)
    if options.protocol == ON_FEATURES:
        features = train_val_features(encoder, train, val, data, options)
        return [linear_probe(*features, config=options, num_classes=classes)]
    warn_of_short_lars(options, len(train))
    device = choose_device(options.device)
    generator = torch.Generator().manual_seed(options.seed)
    head = linear_head(encoder.feature_dim, classes, generator, standardise=bool(options.standardise))
    classifier = Classifier(encoder, head, "all").to(device)
    schedule = Schedule(
        epochs=options.epochs,
        batch_size=options.batch_size,
        optimizer=options.form or "sgd",
        lr=0.0,
        head_lr=options.lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        schedule="cosine" if options.form == "lars" else "steps",
        seed=options.seed,
    )
    train_classifier(classifier, train, data, schedule, device, with_ending(stem, PROGRESS))
    return [classifier_accuracy(classifier, val, data, device, options.chunk)]


LINEAR = classification(LinearConfig, _judge)
