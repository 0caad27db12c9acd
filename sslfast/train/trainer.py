"""Pre-training: a loop that fits a screen.

Images -> views -> the step (`sslfast.train.step`) -> log, checkpoint, kNN. A batch is a function of (seed, epoch,
step), and the states of all random generators are saved: a resumed run takes the very steps that an uninterrupted
one takes.

Several processes take the steps that one process takes, but for rounding, and for batch normalisation, which is
over a rank's images unless encoder.norm=sync. A rank has its rows of a batch; weights, optimizer, queues and
generators are the same on every rank, and rank 0 alone writes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sslfast.config import Recipe
from sslfast.data import Batch, Source, load_small, split
from sslfast.distributed import broadcast_, largest, mean, rank, world_size
from sslfast.distributed.launch import own_device
from sslfast.errors import TrainingError, UsageError
from sslfast.evaluation.features import features, labeled_features
from sslfast.evaluation.knn import KNN_TEMPERATURE, knn_accuracy
from sslfast.random.generators import rng_state, set_rng_state
from sslfast.recipes.load import from_stored, to_dict
from sslfast.run.backbone import write_backbone
from sslfast.run.checkpoint import Checkpoints
from sslfast.run.directory import RunDirectory, check_same
from sslfast.run.fits import check_kinds, check_like, check_rng
from sslfast.run.logs import MetricsLog
from sslfast.train.interrupt import Interrupt
from sslfast.train.step import build_step

log = logging.getLogger(__name__)


class Trainer:
    """A run: its images, its step, and the loop around them.

    Args:
        recipe: what to run.
        run: the run's directory, which is written to while it trains.
        source: the images, of which `data.val_fraction` are held out where they have labels.

    Attributes:
        train_set, val_set: the parts of the source that it trains on, and that are held out, if any.
        loader: of the training set's batches.
        train_step: all that moves from step to step; `method` is its method.

    Raises:
        UsageError: settings or images that cannot work.
    """

    def __init__(self, recipe: Recipe, run: RunDirectory, source: Source) -> None:
        self.recipe, self.run, self.source = recipe, run, source
        self.device = own_device(recipe.train.device)
        if recipe.train.threads:
            torch.set_num_threads(recipe.train.threads)
        self.train_set, self.val_set = self._sets()
        self.train_step, self.loader = build_step(recipe, self.train_set, self.device)
        self.method, self.total_steps = self.train_step.method, self.train_step.total_steps
        self.checkpoints = Checkpoints(run.checkpoints, recipe.train.keep_checkpoints)
        self.random_knn: float | None = None  # the kNN accuracy of the initial weights
        self.reported_skips = 0  # steps that the guard skipped, as far as they were reported

    def _sets(self) -> tuple[Source, Source | None]:
        """The images to train on and those held out, decoded if they are small."""
        data, held_out = self.recipe.data, None
        train_set = self.source
        if self.source.labels is not None and data.val_fraction:
            train_set, held_out = split(self.source, data.val_fraction)
            held_out = load_small(held_out, data, self.device)
        return load_small(train_set, data, self.device), held_out

    @property
    def step(self) -> int:
        """How many steps are done."""
        return self.train_step.steps_done

    def fit(self, interrupt: Interrupt) -> None:
        """Trains to the end, or to the first step boundary after a signal."""
        written = MetricsLog(self.run, self.step) if rank() == 0 else nullcontext()
        with written as self.metrics, self.progress() as bar:
            if world_size() > 1:
                images = self.recipe.data.batch_size // world_size()
                log.info("%d processes, each with %d images of a batch", world_size(), images)
            if self.source.bad:
                log.warning("%s: left out %d unreadable images", self.source.name, len(self.source.bad))
            if self.val_set is None:
                log.info("%s: no labels, or none held out: no kNN during training", self.source.name)
            if self.step == 0:
                self.random_knn = self.evaluate()
            self.timed_from = time.perf_counter(), self.step
            for batch in self.batches():
                values = self.train_step(batch)
                bar.update(self.recipe.data.batch_size)
                if self.step % self.recipe.train.log_every == 0 or self.step == self.total_steps:
                    self.report(values, bar)
                if self.step % self.loader.steps_per_epoch == 0:
                    self.end_epoch(self.step // self.loader.steps_per_epoch)
                    self.timed_from = time.perf_counter(), self.step  # a rate is of training steps alone
                if interrupt.everywhere():
                    break
        self.save()
        if self.step == self.total_steps and rank() == 0:
            write_backbone(self.method.encoder, self.run.backbone, to_dict(self.recipe))

    def batches(self) -> Iterator[Batch]:
        """The batches of the steps that are still to do."""
        steps = self.loader.steps_per_epoch
        for epoch in range(self.step // steps, self.recipe.train.epochs):
            if self.step % steps == 0:
                self.method.start_epoch(epoch, self.embed)
                # Clusters of the same features may differ from machine to machine.
                broadcast_([*self.method.parameters(), *self.method.buffers()])
            yield from self.loader.epoch(epoch, start=self.step % steps)

    def embed(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """The outputs of a network for the training images, as `methods.base.Embed` has them."""
        return features(network, self.train_set, self.recipe.data, self.device)

    def report(self, values: dict[str, Tensor], bar: tqdm[Any]) -> None:
        """Logs a step: the one place in the loop where the host waits for the device."""
        numbers = dict(zip(values, mean(torch.stack(list(values.values()))).tolist(), strict=True))
        guard = self.train_step.guard
        skipped, in_a_row = int(guard.total), int(guard.in_a_row)
        if skipped > self.reported_skips:
            log.warning(
                "step %d: loss or gradient not finite, steps skipped since the last report: %d",
                self.step,
                skipped - self.reported_skips,
            )
            self.reported_skips = skipped
        if in_a_row >= self.recipe.train.max_bad_steps:
            saved = self.run.checkpoints.is_dir()
            weights = f"the weights in {self.run.checkpoints} are from before" if saved else "nothing is saved yet"
            raise TrainingError(
                f"the loss or its gradient was not finite in the last {in_a_row} steps up to step {self.step}; "
                f"{weights}: lower optim.lr, or use train.precision=fp32, and go on in a new run"
            )
        if self.metrics is None:
            return
        since, first = self.timed_from
        now = time.perf_counter()
        rate = (self.step - first) * self.recipe.data.batch_size / (now - since)
        self.timed_from = now, self.step
        bar.set_postfix(loss=f"{numbers['loss']:.3f}")
        self.metrics.write(
            self.step,
            self.step / self.loader.steps_per_epoch,
            lr=self.train_step.learning_rate(self.step - 1),
            images_per_second=round(rate, 1),
            skipped_steps=skipped,
            **numbers,
        )

    def end_epoch(self, epoch: int) -> None:
        """Evaluates and saves after an epoch, counted from 1, when it is due."""
        train, last = self.recipe.train, epoch == self.recipe.train.epochs
        if train.knn_every and (last or epoch % train.knn_every == 0):
            self.evaluate()
        if not last and epoch % train.checkpoint_every == 0:
            self.save()

    def evaluate(self) -> float | None:
        """Logs and returns the held-out top-1 accuracy of kNN; None where there are no labels or it is off."""
        if self.val_set is None or not self.recipe.train.knn_every:
            return None
        bank, queries = (
            labeled_features(self.method.encoder, source, self.recipe.data, self.device)
            for source in (self.train_set, self.val_set)
        )
        accuracy = knn_accuracy(
            *bank,
            *queries,
            k=self.recipe.train.knn_k,
            temperature=KNN_TEMPERATURE,
            num_classes=len(self.val_set.classes),
        )
        top1 = accuracy["top1"]
        if self.metrics is None:
            return top1
        random = top1 if self.random_knn is None else self.random_knn
        epoch = self.step / self.loader.steps_per_epoch
        self.metrics.write(self.step, epoch, knn_top1=top1, knn_random_top1=random)
        log.info(
            "epoch %g: kNN top-1 of %d held-out images %.1f%% (random initialisation %.1f%%)",
            epoch,
            len(queries[1]),
            100 * top1,
            100 * random,
        )
        return top1

    def progress(self) -> tqdm[Any]:
        batch_size = self.recipe.data.batch_size
        return tqdm(
            total=self.total_steps * batch_size,
            initial=self.step * batch_size,
            unit="img",
            unit_scale=True,
            desc=self.recipe.method.name,
            disable=None if rank() == 0 else True,  # None: where standard error is no terminal
        )

    def save(self) -> None:
        """Writes a checkpoint of everything that the next step depends on, which on rank 0 is as on all."""
        if rank() > 0:
            return
        self.checkpoints.save(
            self.step,
            {
                **self.train_step.state_dict(),
                "config": to_dict(self.recipe),
                "images": len(self.train_set),
                "random_knn": self.random_knn,
                "rng": rng_state(),
            },
        )

    def resume(self) -> None:
        """Goes back to the latest checkpoint; without one the run starts from the beginning.

        Raises:
            UsageError: the checkpoint is of other settings or data, damaged, or not the same on all ranks.
        """
        latest = self.checkpoints.latest()
        path, state = latest or (self.run.checkpoints, None)
        if state is not None:
            with self._fitting(path):
                check_kinds(state)
        step = -1 if state is None else state["step"]
        oldest, newest = -largest(-step), largest(step)
        if oldest != newest:
            raise UsageError(
                f"--resume: the ranks find checkpoints of other steps in {self.run.checkpoints}, from {oldest} "
                f"(-1: none) to {newest}; every process needs the same --out"
            )
        if state is None:
            log.info("--resume: no checkpoint in %s yet; starting from the beginning", self.run.checkpoints)
            return
        check_same(self.recipe, from_stored(state["config"], origin=str(path)))
        if state["images"] != len(self.train_set):
            raise UsageError(
                f"--resume: the run was started on {state['images']} images of {self.recipe.data.source}, "
                f"which now has {len(self.train_set)}; restore them, or use another --out"
            )
        with self._fitting(path):
            check_like(state.get("random_knn"), None, "random_knn")
            check_rng(state["rng"], "rng")
            self.train_step.load_state_dict(state)
            set_rng_state(state["rng"])
        self.random_knn = state.get("random_knn")
        self.reported_skips = int(self.train_step.guard.total)
        log.info("resumed at step %d of %d", self.step, self.total_steps)

    @contextmanager
    def _fitting(self, path: Path) -> Iterator[None]:
        """Turns the ValueError of a state that does not fit into a UsageError that names the checkpoint."""
        try:
            yield
        except ValueError as error:
            raise UsageError(
                f"--resume: the checkpoint {path} does not fit {self.recipe.method.name} "
                f"({shorten(str(error), 200)}); resume with the sslfast that wrote it, or use another --out"
            ) from error
