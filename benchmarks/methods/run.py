"""A run of `make methods-check`: an encoder is trained for a given time and evaluated on held-out images."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from sslfast.benchmarks.measure.machine import commit, wait_for
from sslfast.benchmarks.methods.record import RANDOM, SUPERVISED, Run
from sslfast.benchmarks.methods.short import Scale, longer, recipe, settings
from sslfast.config import DataConfig, Recipe
from sslfast.data import Source
from sslfast.encoders import Encoder
from sslfast.evaluation.features import labeled_features
from sslfast.evaluation.knn import knn_accuracy
from sslfast.evaluation.knn_config import KNN_TEMPERATURE
from sslfast.evaluation.linear.config import LinearConfig
from sslfast.evaluation.linear.probe import linear_probe
from sslfast.methods import METHODS
from sslfast.recipes.check import check_recipe
from sslfast.run.backbone import random_encoder
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.train.interrupt import Interrupt
from sslfast.train.trainer import Trainer

WARM_UP, TIMED = 3, 8  # steps that a run's length is found by
PROBED = 1000  # epochs of the training that they are of: none of its schedules ends


@dataclass(frozen=True)
class Task:
    """The images and settings that all runs share.

    Attributes:
        data: the images, as `open_source` takes them.
        train_set, held_out: their two parts, decoded.
        epochs: the epochs of every run; None: as many as take `minutes`.
        runs: the folder for what is needed to go on with a run.
        whole: whether the recipes are as they are, not changed for short runs.
        linear: the linear probe.
    """

    data: str
    train_set: Source
    held_out: Source
    scale: Scale
    device: torch.device
    epochs: int | None
    minutes: float
    runs: Path
    whole: bool
    linear: LinearConfig

    def settings(self, method: str) -> list[str]:
        """Lists the method's settings, see `short.settings`; none for a run that is no method's."""
        return settings(method, self.scale, whole=self.whole) if method in METHODS else []

    def length(self, method: str, seconds_per_epoch: Callable[[], float]) -> int:
        """Returns the epochs of a run, where no earlier one tells."""
        seconds = 60 * self.minutes * (1.0 if self.whole else longer(method))
        return self.epochs or max(1, round(seconds / seconds_per_epoch()))


def run_method(method: str, seed: int, task: Task, epochs: int | None) -> Run:
    """Trains and evaluates; goes on with a run of the same settings that was interrupted.

    Args:
        epochs: the epochs of the runs with other seeds; None: there is none yet.

    Raises:
        UsageError, TrainingError: as `sslfast.train.pretrain`.
        SystemExit: a signal came, and the run was saved.
    """
    run = RunDirectory(task.runs / f"{method}-{seed}")
    recipe_of = partial(recipe, method, task.data, task.scale, seed=seed, whole=task.whole)
    interrupted = _recipe_in(run, recipe_of, task.epochs)
    measured = partial(seconds_per_epoch, lambda: Trainer(recipe_of(PROBED), run, task.train_set))
    run_recipe = interrupted or recipe_of(epochs or task.length(method, measured))
    check_recipe(run_recipe)
    trainer = Trainer(run_recipe, run, task.train_set)
    before = accuracies(trainer.method.encoder, run_recipe.data, task)
    if interrupted:
        trainer.resume()
    run.start(run_recipe, resume=interrupted is not None)
    spent = run.path / "seconds"  # of training, by the parts before
    seconds = float(spent.read_text()) if interrupted and spent.exists() else 0.0
    with Interrupt() as interrupt:
        seconds += timed(partial(trainer.fit, interrupt), task.device)
    if interrupt.received and trainer.step < trainer.total_steps:
        spent.write_text(str(seconds))
        raise SystemExit(interrupt.exit_code)
    after = accuracies(trainer.method.encoder, run_recipe.data, task)
    shutil.rmtree(run.path)
    return Run(method, seed, task.settings(method), run_recipe.train.epochs, seconds, after, before, commit())


def _recipe_in(run: RunDirectory, recipe_of: Callable[[int], Recipe], epochs: int | None) -> Recipe | None:
    """Reads the recipe of the run in the directory, if it is the one asked for, of so many epochs or of any."""
    if not run.config.exists():
        return None
    before = read_recipe(run.config)
    return before if before == recipe_of(epochs or before.train.epochs) else None


def run_random(seed: int, task: Task) -> Run:
    """Evaluates the encoder at its random initialization."""
    shared = recipe(SUPERVISED, task.data, task.scale, 1, seed=seed)
    encoder = random_encoder(shared.encoder, shared.data, seed).to(task.device)
    scores = accuracies(encoder, shared.data, task)
    return Run(RANDOM, seed, [], 0, 0.0, scores, scores, commit())


def seconds_per_epoch(make_trainer: Callable[[], Trainer]) -> float:
    """Measures the seconds of an epoch's steps, by their median, and of what precedes them: a clustering, say."""
    trainer = make_trainer()
    batches = trainer.batches()
    preparation = timed(partial(next, batches), trainer.device)

    def step() -> None:
        trainer.train_step(next(batches))

    seconds = [timed(step, trainer.device) for _ in range(WARM_UP + TIMED)]
    return preparation + trainer.loader.steps_per_epoch * statistics.median(seconds[WARM_UP:])


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Measures the seconds that a call takes."""
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def accuracies(encoder: Encoder, data: DataConfig, task: Task) -> dict[str, float]:
    """Measures the held-out top-1 by kNN and by the linear probe, see SCORES."""
    bank, queries = (
        labeled_features(encoder, source, data, task.device) for source in (task.train_set, task.held_out)
    )
    num_classes = len(task.train_set.classes)
    knn = knn_accuracy(
        *bank, *queries, k=task.scale.num_neighbors, temperature=KNN_TEMPERATURE, num_classes=num_classes
    )
    linear = linear_probe(*bank, *queries, config=task.linear, num_classes=num_classes)
    return {"knn": knn["top1"], "linear": linear["top1"]}
