"""The encoders and images that `make bench-train` runs the methods on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.methods import METHODS
from sslfast.recipes.load import load_recipe, recipes

SMALL, LARGE = ("cifar10", "imagenette"), ("imagenet", "imagenette")  # recipes
NUM_CLASSES = 10
# Settings of recipes for ImageNet that are made for more or larger images than the case's, and those for its own.
FEWER = {
    "cpc_v2": ("method.patch=null", "method.stride=null"),
    "deepcluster": ("method.clusters=1000",),
    "local_aggregation": ("method.clusters=1000",),
    "pcl": ("method.clusters=[1000, 2000, 4000]",),
}
# A ViT, where a method takes its tokens, and the side of its patches by that of the images.
TOKENS = ("encoder.name=vit_small", "encoder.freeze_patch_projection=false")
PATCH = {32: 4, 224: 16}
OF_NOISE = {"supervised": (f"method.num_classes={NUM_CLASSES}",)}  # what a run's images tell it


@dataclass(frozen=True)
class TrainCase:
    """An encoder and a data set that the methods are run on.

    Attributes:
        recipes: ends of the names of recipes, of which a method's first one is taken.
        size: the images' height and width in pixels.
        batch_size: images a step; on the CPU few, so that each pipeline takes its turns within a minute.
        num_images: the size of the data set, as far as banks, queues and clusters depend on it.
    """

    encoder: str
    width: float
    stem: str
    size: int
    batch_size: int
    num_images: int
    recipes: tuple[str, ...]

    def __str__(self) -> str:
        width = "" if self.width == 1 else f" x {self.width:g}"
        return f"{self.encoder}{width}, {self.size} pixels"


def cases(device: torch.device) -> list[TrainCase]:
    if device.type == "cpu":
        return [TrainCase("resnet18", 1.0, "cifar", 32, 16, 50_000, SMALL)]
    return [
        TrainCase("resnet18", 1.0, "cifar", 32, 256, 50_000, SMALL),
        TrainCase("resnet50", 1.0, "imagenet", 224, 128, 8192, LARGE),
    ]


def recipe_of(method: str, case: TrainCase) -> Recipe:
    """Loads the method's recipe, with the case's encoder and images."""
    known = recipes()
    names = [f"{method}_{end}" for end in case.recipes if f"{method}_{end}" in known]
    settings = [
        "data.source=noise",
        "data.val_fraction=0",
        "data.pipeline=resident",
        f"data.size={case.size}",
        f"data.batch_size={case.batch_size}",
        f"encoder.name={case.encoder}",
        f"encoder.stem={case.stem}",
        f"encoder.width={case.width:g}",
        "train.knn_every=0",
        "train.compile=false",  # done here, once the networks' calls are known
        *((*TOKENS, f"encoder.patch_size={PATCH[case.size]}") if METHODS[method].needs_tokens else ()),
        *OF_NOISE.get(method, ()),
        *(FEWER.get(method, ()) if case.recipes == LARGE else ()),
    ]
    return load_recipe(names[0] if names else f"{method}_{case.recipes[0]}", settings)


def noise(case: TrainCase) -> Source:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (case.num_images, case.size, case.size, 3), dtype=np.uint8)
    labels = np.arange(case.num_images) % NUM_CLASSES
    return Source("noise", images=pixels, labels=labels, classes=[str(number) for number in range(NUM_CLASSES)])
