"""Pre-training: set-up, then a loop that fits a screen.

Images -> views -> encoder -> heads -> the method's loss (a fused op) -> optimizer, moving averages, queue ->
log, checkpoint, kNN. A batch is a function of (seed, epoch, step), and the states of all random generators are
saved: a resumed run takes the very steps that an uninterrupted one takes.

Several processes take the steps that one process takes, but for rounding, and for batch normalisation, which is
over a rank's images unless encoder.norm=sync. A rank has its rows of a batch; weights, optimizer, queues and
generators are the same on every rank, and rank 0 alone writes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext
from textwrap import shorten
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sslfast.config import Recipe
from sslfast.data import Batch, Source, load_small, make_loader, split
from sslfast.distributed import average_, broadcast_, largest, mean, rank, world_size
from sslfast.distributed.launch import own_device
from sslfast.encoders import build_encoder, try_encoder
from sslfast.encoders.norm import synchronised
from sslfast.errors import TrainingError, UsageError
from sslfast.evaluate.features import features, labelled_features
from sslfast.evaluate.knn import KNN_TEMPERATURE, knn_accuracy
from sslfast.methods import METHODS, Method
from sslfast.optim.optimizers import build_optimizer
from sslfast.optim.schedules import learning_rate, scaled_lr, set_learning_rate
from sslfast.random.generators import rng_state, seed_everything, set_rng_state
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run.backbone import write_backbone
from sslfast.run.checkpoint import Checkpoints
from sslfast.run.directory import RunDirectory, check_same
from sslfast.run.logs import MetricsLog
from sslfast.train.guard import FiniteGuard
from sslfast.train.interrupt import Interrupt

log = logging.getLogger(__name__)


class Trainer:
    """One run: everything that moves from step to step, and the loop."""

    def __init__(self, recipe: Recipe, run: RunDirectory, source: Source) -> None:
        self.recipe, self.run = recipe, run
        self.device = own_device(recipe.train.device)
        on_gpu = self.device.type == "cuda"
        if recipe.train.threads:
            torch.set_num_threads(recipe.train.threads)
        seed_everything(recipe.train.seed)
        self.bf16 = recipe.train.precision == "bf16" or (recipe.train.precision == "auto" and on_gpu)

        data = recipe.data
        self.source = source
        self.train_set = source
        self.val_set: Source | None = None
        if source.labels is not None and data.val_fraction:
            self.train_set, val_set = split(source, data.val_fraction)
            self.val_set = load_small(val_set, data, self.device)
        self.train_set = load_small(self.train_set, data, self.device)
        dtype = torch.bfloat16 if self.bf16 else torch.float32
        self.loader = make_loader(
            self.train_set, data, recipe.train.seed, self.device, rank(), world_size(), dtype=dtype
        )
        self.total_steps = recipe.train.epochs * self.loader.steps_per_epoch

        method = METHODS[recipe.method.name]
        if method.needs_labels and self.train_set.labels is None:
            raise UsageError(f"{source.name}: {recipe.method.name} learns from labels, and these images have none")
        method.check(recipe, len(self.train_set))
        encoder = build_encoder(recipe.encoder, mean=data.mean, std=data.std)
        try_encoder(encoder, recipe.encoder, {data.size, *method.sides(recipe)}, dense=method.needs_map)
        self.method = method(recipe, encoder, len(self.train_set))
        if recipe.encoder.norm == "sync" and world_size() > 1:
            self.method = cast(Method, synchronised(self.method, self.device))
        self.method.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if on_gpu if recipe.train.compile is None else recipe.train.compile:
            for network in self.method.compiled():
                network.compile(dynamic=False)  # small crops or patches: as fast a graph as the first shape's
        self.optimizer = build_optimizer(
            self.method.named_parameters(), recipe.optim, data.batch_size, self.method.constant_lr
        )
        self.peak_lr = scaled_lr(recipe.optim, data.batch_size)
        self.guard = FiniteGuard(self.method, self.optimizer, recipe.optim.clip_norm)

        self.checkpoints = Checkpoints(run.checkpoints, recipe.train.keep_checkpoints)
        self.step = 0  # steps done
        self.random_knn: float | None = None  # the kNN accuracy of the initial weights
        self.skipped = 0  # steps that the guard skipped, as far as they were reported

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
        """`methods.base.Embed`."""
        return features(network, self.train_set, self.recipe.data, self.device)

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One step. Returns scalars on the device; nothing here waits for it."""
        set_learning_rate(self.optimizer, self.learning_rate(self.step), self.peak_lr)
        self.guard.remember()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss, values = self.method.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        loss = loss.detach()
        if world_size() > 1:
            self.average(loss)
        skip = self.guard.check(loss)
        self.optimizer.step()
        self.method.after_step(self.step, self.total_steps, skip)
        self.step += 1
        return {"loss": loss, **values}

    def average(self, loss: Tensor) -> None:
        """Takes the mean over the ranks of the gradients, the running statistics and the loss, in place.

        One all-reduce after the backward pass, not DistributedDataParallel: a method's loss runs several networks,
        some not in every epoch, and what is not finite on any rank thereby is not on all, which so skip a step
        together. The price: the exchange does not overlap the backward pass.
        """
        gradients = [p.grad for p in self.method.parameters() if p.grad is not None]
        average_([loss, *gradients, *self.guard.statistics])

    def learning_rate(self, step: int) -> float:
        """Of a step, counted from 0, before a parameter group's own scale."""
        optim = self.recipe.optim
        warmup = round(optim.warmup_epochs * self.loader.steps_per_epoch)
        return learning_rate(step, self.total_steps, warmup, optim, self.peak_lr)

    def report(self, values: dict[str, Tensor], bar: tqdm[Any]) -> None:
        """Logs a step: the one place in the loop where the host waits for the device."""
        numbers = dict(zip(values, mean(torch.stack(list(values.values()))).tolist(), strict=True))
        skipped, in_a_row = self.guard.total.item(), self.guard.in_a_row.item()
        if skipped > self.skipped:
            log.warning(
                "step %d: loss or gradient not finite, steps skipped since the last report: %d",
                self.step,
                skipped - self.skipped,
            )
            self.skipped = int(skipped)
        if in_a_row >= self.recipe.train.max_bad_steps:
            raise TrainingError(
                f"the loss or its gradient was not finite in the last {in_a_row} steps up to step {self.step}; "
                f"the weights in {self.run.checkpoints} are from before: lower optim.lr, or use "
                "train.precision=fp32, and go on in a new run"
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
            lr=self.learning_rate(self.step - 1),
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
            labelled_features(self.method.encoder, source, self.recipe.data, self.device)
            for source in (self.train_set, self.val_set)
        )
        accuracy = knn_accuracy(
            *bank,
            *queries,
            k=self.recipe.train.knn_k,
            temperature=KNN_TEMPERATURE,
            classes=len(self.val_set.classes),
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
                "config": to_dict(self.recipe),
                "step": self.step,
                "images": len(self.train_set),
                "method": self.method.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "guard": self.guard.state_dict(),
                "random_knn": self.random_knn,
                "rng": rng_state(),
            },
        )

    def resume(self) -> None:
        """Goes back to the latest checkpoint; without one the run starts from the beginning.

        Raises:
            UsageError: the checkpoint is of other settings or data, damaged, or not the same on all ranks.
        """
        state = self.checkpoints.latest()
        found = -1 if state is None else state["step"]
        oldest, newest = -largest(-found), largest(found)
        if oldest != newest:
            raise UsageError(
                f"--resume: the ranks find checkpoints of other steps in {self.run.checkpoints}, from {oldest} "
                f"(-1: none) to {newest}; every process needs the same --out"
            )
        if state is None:
            log.info("--resume: no checkpoint in %s yet; starting from the beginning", self.run.checkpoints)
            return
        check_same(self.recipe, from_dict(state["config"], origin=str(self.run.checkpoints)))
        if state["images"] != len(self.train_set):
            raise UsageError(
                f"--resume: the run was started on {state['images']} images of {self.recipe.data.source}, "
                f"which now has {len(self.train_set)}; restore them, or use another --out"
            )
        try:
            self.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.guard.load_state_dict(state["guard"])
        except (RuntimeError, ValueError) as error:  # of a version with other networks
            raise UsageError(
                f"--resume: the checkpoint in {self.run.checkpoints} does not fit {self.recipe.method.name} "
                f"({shorten(str(error), 200)}); resume with the sslfast that wrote it, or use another --out"
            ) from error
        self.step, self.random_knn = state["step"], state["random_knn"]
        self.skipped = int(self.guard.total)
        set_rng_state(state["rng"])
        log.info("resumed at step %d of %d", self.step, self.total_steps)
