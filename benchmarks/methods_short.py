"""The settings of the runs that `methods_check` sets side by side: small encoders, short training.

A run is a method's recipe for CIFAR-10 with what all share, `Scale`, and what the method needs to learn in few
steps, SHORT.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from sslfast.config import Config, DataConfig, EncoderConfig, OptimConfig, ViewConfig, load_config


@dataclass(frozen=True)
class Scale:
    """What all runs share.

    Attributes:
        images: to train on; None: all that are not held out.
        held_out: images to test on.
        width: of the ResNet-18 with a stem for small images.
        neighbours: that vote in kNN.
    """

    images: int | None
    held_out: int
    width: float
    neighbours: int


CPU = Scale(images=5000, held_out=2000, width=0.125, neighbours=20)
GPU = Scale(images=None, held_out=5000, width=1.0, neighbours=200)


@dataclass(frozen=True)
class Short:
    """What a short run changes in a method's recipe, and why."""

    settings: tuple[str, ...]
    reason: str


FASTER_AVERAGE = Short(
    ("method.momentum=0.9",), "a few hundred steps: a slower average would still be the random network"
)
SHORT: dict[str, Short] = {
    "moco_v1": FASTER_AVERAGE,
    "moco_v2": FASTER_AVERAGE,
}


def settings(method: str, scale: Scale) -> list[str]:
    """What the runs of a method change in its recipe, beside their length and seed."""
    shared = [
        "encoder.name=resnet18",
        "encoder.stem=cifar",
        f"encoder.width={scale.width:g}",
        "data.val_fraction=0",  # of the images to train on, which the others are apart from already
        "train.knn_every=0",
    ]
    return [*shared, *(SHORT[method].settings if method in SHORT else ())]


def recipe(method: str, data: str, scale: Scale, epochs: int, *, seed: int) -> Config:
    """The configuration of a run. The warm-up is the recipe's share of the training.

    Raises:
        UsageError: the method has no recipe for CIFAR-10, or the settings do not suit it.
    """
    whole = load_config(f"{method}_cifar10", settings(method, scale))
    warmup = whole.optim.warmup_epochs * epochs / whole.train.epochs
    run = [
        f"data.source={json.dumps(data)}",
        f"optim.warmup_epochs={warmup}",
        f"train.epochs={epochs}",
        f"train.seed={seed}",
    ]
    return load_config(f"{method}_cifar10", [*settings(method, scale), *run])


@dataclass(frozen=True)
class SupervisedRecipe:
    """The supervised run: crops and flips, cross-entropy, SGD with a cosine (our choice, as is usual on CIFAR)."""

    encoder: EncoderConfig
    data: DataConfig
    optim: OptimConfig


def supervised(scale: Scale) -> SupervisedRecipe:
    view = ViewConfig(scale=(0.4, 1.0), jitter=0.0, grayscale=0.0)
    return SupervisedRecipe(
        EncoderConfig(name="resnet18", stem="cifar", width=scale.width),
        DataConfig(
            size=32, batch_size=128, views=[view], mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.201)
        ),
        OptimConfig(lr=0.2, weight_decay=5e-4),
    )


def scale_of(device: torch.device) -> Scale:
    return GPU if device.type == "cuda" else CPU
