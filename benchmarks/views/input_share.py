"""The share of its time that training loses to its input, a GPU's idle time between steps included.

`make bench-views` measures it: the training steps on the batches of the loader, beside the same steps on one
batch over and over, in turns.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sslfast.benchmarks.views.pipelines import rate
from sslfast.config import Recipe
from sslfast.data import Batch, Loader, Source
from sslfast.distributed.launch import own_device
from sslfast.recipes.load import load_recipe
from sslfast.train.step import build_step

ROUNDS = 3
IMAGENET = 1_281_167  # images


@dataclass(frozen=True)
class InputShareResult:
    """The speed of training in one case, and its loss to the input."""

    case: str
    images_per_second: float  # of training, the median round's
    lost: float  # share of the time, the median round's; below 0 by chance


def cases(photographs: Source) -> list[tuple[Recipe, Source]]:
    """Lists recipes and their images; of photographs as many as ImageNet has, as DALI starts anew each epoch."""
    noise = np.random.default_rng(0).integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8)
    many = photographs.subset(np.resize(np.arange(len(photographs)), IMAGENET))
    training = ["data.val_fraction=0", "train.knn_every=0", "train.epochs=10000"]  # more than is timed
    return [
        (load_recipe("moco_v2_cifar10", ["data.batch_size=512", *training]), Source("noise", images=noise)),
        (load_recipe("moco_v2_imagenet", training), many),
    ]


def measure(recipe: Recipe, source: Source, seconds: float) -> list[InputShareResult]:
    """Trains with and without the input, and prints a line.

    Args:
        recipe: the recipe that is trained.
        source: its images.
        seconds: the time for each of the two in each round.
    """
    train_step, loader = build_step(recipe, source, own_device(recipe.train.device))
    loaded = endless(loader)
    held = itertools.repeat(next(loaded))
    rates, shares = [], []
    for _ in range(ROUNDS):
        with_input, without = (
            rate(map(train_step, batches), seconds, train_step.device) for batches in (loaded, held)
        )
        rates.append(recipe.data.batch_size * with_input)
        shares.append(1 - with_input / without)
    case = f"{recipe.encoder.name}, {recipe.data.size} pixels, batches of {recipe.data.batch_size}"
    result = InputShareResult(case, statistics.median(rates), statistics.median(shares))
    print(f"training, {case}: {result.images_per_second:,.0f} images/s, {result.lost:.1%} lost to the input")
    return [result]


def endless(loader: Loader) -> Iterator[Batch]:
    for epoch in itertools.count():
        yield from loader.epoch(epoch)
