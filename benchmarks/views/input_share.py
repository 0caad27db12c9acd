"""What training loses to its input, a GPU's idle time between steps included; `bench_views` measures it.

The trainer's own steps on the batches of its loader, beside the same steps on one batch over and over, in turns.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sslfast.benchmarks.views.pipelines import rate
from sslfast.config import Recipe
from sslfast.data import Batch, Loader, Source
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer

ROUNDS = 3
IMAGENET = 1_281_167  # images


@dataclass(frozen=True)
class Result:
    case: str
    images_per_second: float  # of training, the median round's
    lost: float  # share of the time, the median round's; below 0 by chance


def cases(photographs: Source) -> list[tuple[Recipe, Source]]:
    """Recipes and their images; of photographs as many as ImageNet has, as DALI starts anew with each epoch."""
    noise = np.random.default_rng(0).integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8)
    many = photographs.subset(np.resize(np.arange(len(photographs)), IMAGENET))
    training = ["data.val_fraction=0", "train.knn_every=0", "train.epochs=10000"]  # more than is timed
    return [
        (load_recipe("moco_v2_cifar10", ["data.batch_size=512", *training]), Source("noise", images=noise)),
        (load_recipe("moco_v2_imagenet", training), many),
    ]


def measure(config: Recipe, source: Source, seconds: float) -> list[Result]:
    """Trains, and prints a line.

    Args:
        config: what is trained.
        source: on what.
        seconds: to time each of the two for, in each round.
    """
    trainer = Trainer(config, RunDirectory(Path("none")), source)  # writes nothing
    loaded = endless(trainer.loader)
    held = itertools.repeat(next(loaded))
    rates, shares = [], []
    for _ in range(ROUNDS):
        with_input, without = (
            rate(map(trainer.train_step, batches), seconds, trainer.device) for batches in (loaded, held)
        )
        rates.append(config.data.batch_size * with_input)
        shares.append(1 - with_input / without)
    case = f"{config.encoder.name}, {config.data.size} pixels, batches of {config.data.batch_size}"
    result = Result(case, statistics.median(rates), statistics.median(shares))
    print(f"training, {case}: {result.images_per_second:,.0f} images/s, {result.lost:.1%} lost to the input")
    return [result]


def endless(loader: Loader) -> Iterator[Batch]:
    for epoch in itertools.count():
        yield from loader.epoch(epoch)
