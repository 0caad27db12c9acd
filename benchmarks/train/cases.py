"""What `bench_train` runs the methods on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.recipes.load import load_recipe, recipes

SMALL, LARGE = ("cifar10", "imagenette"), ("imagenet", "imagenette")  # recipes
CLASSES = 10
# What the methods' recipes for ImageNet have for more images, or for larger ones, than the case's.
FEWER = {
    "cpc_v2": ("method.patch=null", "method.stride=null"),
    "deepcluster": ("method.clusters=1000",),
    "pcl": ("method.clusters=[1000, 2000, 4000]",),
}


@dataclass(frozen=True)
class Case:
    """What the methods are run on.

    Attributes:
        recipes: ends of the names of recipes, of which a method's first one is taken.
        batch: images a step; on the CPU few, so that each pipeline takes its turns within a minute.
        images: of the data set, as far as banks, queues and clusters depend on it.
    """

    encoder: str
    width: float
    stem: str
    size: int
    batch: int
    images: int
    recipes: tuple[str, ...]

    def __str__(self) -> str:
        width = "" if self.width == 1 else f" x {self.width:g}"
        return f"{self.encoder}{width}, {self.size} pixels"


def cases(device: torch.device) -> list[Case]:
    if device.type == "cpu":
        return [Case("resnet18", 1.0, "cifar", 32, 16, 50_000, SMALL)]
    return [
        Case("resnet18", 1.0, "cifar", 32, 256, 50_000, SMALL),
        Case("resnet50", 1.0, "imagenet", 224, 128, 8192, LARGE),
    ]


def config(method: str, case: Case) -> Recipe:
    """The method's recipe, with the case's encoder and images."""
    known = recipes()
    names = [f"{method}_{end}" for end in case.recipes if f"{method}_{end}" in known]
    settings = [
        "data.source=noise",
        "data.val_fraction=0",
        "data.pipeline=resident",
        f"data.size={case.size}",
        f"data.batch_size={case.batch}",
        f"encoder.name={case.encoder}",
        f"encoder.stem={case.stem}",
        f"encoder.width={case.width:g}",
        "train.knn_every=0",
        "train.compile=false",  # done here, once the networks' calls are known
        *(FEWER.get(method, ()) if case.recipes == LARGE else ()),
    ]
    return load_recipe(names[0] if names else f"{method}_{case.recipes[0]}", settings)


def noise(case: Case) -> Source:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (case.images, case.size, case.size, 3), dtype=np.uint8)
    labels = np.arange(case.images) % CLASSES
    return Source("noise", images=pixels, labels=labels, classes=[str(number) for number in range(CLASSES)])
