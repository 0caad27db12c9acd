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
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sslfast.check import check
from sslfast.checkpoint import Checkpoints
from sslfast.config import Config, from_dict, to_dict
from sslfast.data import Batch, Source, load_small, make_loader, open_source, split
from sslfast.distributed import average_, broadcast_, largest, mean, rank, world_size
from sslfast.encoders import build_encoder, try_encoder
from sslfast.encoders.norm import synchronised
from sslfast.errors import TrainingError, UsageError
from sslfast.evaluate.features import features, labelled_features
from sslfast.evaluate.knn import knn_accuracy
from sslfast.export import write_backbone
from sslfast.finite import FiniteGuard
from sslfast.interrupt import Interrupt
from sslfast.launch import first_alone, joined, own_device
from sslfast.methods import METHODS, Method
from sslfast.optim import build_optimizer, learning_rate, scaled_lr, set_learning_rate
from sslfast.rng import rng_state, seed_everything, set_rng_state
from sslfast.run import MetricsLog, RunDirectory, check_same, log_to

log = logging.getLogger(__name__)

KNN_TEMPERATURE = 0.1  # Wu et al. 2018, section 3.4: 0.07; 0.1 in most evaluations since


def pretrain(config: Config, out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Pre-trains an encoder and leaves a run directory (see `sslfast.run`).

    Under torchrun its processes share the run.

    Args:
        config: what to run.
        out: the run's directory.
        resume: go on from the directory's latest checkpoint, if it has one.
        overwrite: replace the run in the directory.

    Raises:
        UsageError: settings or data that cannot work, found before training.
        TrainingError: training cannot go on; the latest checkpoint is good.
        SystemExit: 143 (130 after SIGINT) once a signal's checkpoint is saved.
    """
    run = RunDirectory(out)
    with joined():
        check(config)
        if rank() == 0:
            run.check(config, resume=resume, overwrite=overwrite)
        data = config.data
        with first_alone():  # it may download or unpack
            source = open_source(data.source, limit=data.limit, max_bad=data.max_bad, on_error=data.on_error)
        trainer = Trainer(config, run, source)
        if resume:
            trainer.resume()
        if rank() == 0:
            run.start(config, resume=resume)  # not before it is known that the run can be
        recorded = log_to(run.log) if rank() == 0 else nullcontext()
        with recorded, logging_redirect_tqdm(), Interrupt() as interrupt:
            trainer.fit(interrupt)
            stopped = interrupt.received if trainer.step < trainer.total_steps else None
            if stopped:
                log.info("%s: saved at step %d; go on with --resume", stopped.name, trainer.step)
    if stopped:
        raise SystemExit(interrupt.exit_code)


class Trainer:
    """One run: everything that moves from step to step, and the loop."""

    def __init__(self, config: Config, run: RunDirectory, source: Source) -> None:
        self.config, self.run = config, run
        self.device = own_device(config.train.device)
        on_gpu = self.device.type == "cuda"
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        seed_everything(config.train.seed)
        self.bf16 = config.train.precision == "bf16" or (config.train.precision == "auto" and on_gpu)

        data = config.data
        self.source = source
        self.train_set = source
        self.val_set: Source | None = None
        if source.labels is not None and data.val_fraction:
            self.train_set, val_set = split(source, data.val_fraction)
            self.val_set = load_small(val_set, data, self.device)
        self.train_set = load_small(self.train_set, data, self.device)
        dtype = torch.bfloat16 if self.bf16 else torch.float32
        self.loader = make_loader(
            self.train_set, data, config.train.seed, self.device, rank(), world_size(), dtype=dtype
        )
        self.total_steps = config.train.epochs * self.loader.steps_per_epoch

        method = METHODS[config.method.name]
        if method.needs_labels and self.train_set.labels is None:
            raise UsageError(f"{source.name}: {config.method.name} learns from labels, and these images have none")
        method.check(config, len(self.train_set))
        encoder = build_encoder(config.encoder, mean=data.mean, std=data.std)
        try_encoder(encoder, config.encoder, {data.size, *method.sides(config)}, dense=method.needs_map)
        self.method = method(config, encoder, len(self.train_set))
        if config.encoder.norm == "sync" and world_size() > 1:
            self.method = cast(Method, synchronised(self.method, self.device))
        self.method.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if on_gpu if config.train.compile is None else config.train.compile:
            for network in self.method.compiled():
                network.compile(dynamic=False)  # small crops or patches: as fast a graph as the first shape's
        self.optimizer = build_optimizer(
            self.method.named_parameters(), config.optim, data.batch_size, self.method.constant_lr
        )
        self.peak_lr = scaled_lr(config.optim, data.batch_size)
        self.guard = FiniteGuard(self.method, self.optimizer, config.optim.clip_norm)

        self.checkpoints = Checkpoints(run.checkpoints, config.train.keep_checkpoints)
        self.step = 0  # steps done
        self.random_knn: float | None = None  # the kNN accuracy of the initial weights
        self.skipped = 0  # steps that the guard skipped, as far as they were reported

    def fit(self, interrupt: Interrupt) -> None:
        """Trains to the end, or to the first step boundary after a signal."""
        written = MetricsLog(self.run, self.step) if rank() == 0 else nullcontext()
        with written as self.metrics, self.progress() as bar:
            if world_size() > 1:
                images = self.config.data.batch_size // world_size()
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
                bar.update(self.config.data.batch_size)
                if self.step % self.config.train.log_every == 0 or self.step == self.total_steps:
                    self.report(values, bar)
                if self.step % self.loader.steps_per_epoch == 0:
                    self.end_epoch(self.step // self.loader.steps_per_epoch)
                    self.timed_from = time.perf_counter(), self.step  # a rate is of training steps alone
                if interrupt.everywhere():
                    break
        self.save()
        if self.step == self.total_steps and rank() == 0:
            write_backbone(self.method.encoder, self.run.backbone, to_dict(self.config))

    def batches(self) -> Iterator[Batch]:
        """The batches of the steps that are still to do."""
        steps = self.loader.steps_per_epoch
        for epoch in range(self.step // steps, self.config.train.epochs):
            if self.step % steps == 0:
                self.method.start_epoch(epoch, self.embed)
                # Clusters of the same features may differ from machine to machine.
                broadcast_([*self.method.parameters(), *self.method.buffers()])
            yield from self.loader.epoch(epoch, start=self.step % steps)

    def embed(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """`methods.base.Embed`."""
        return features(network, self.train_set, self.config.data, self.device)

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
        optim = self.config.optim
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
        if in_a_row >= self.config.train.max_bad_steps:
            raise TrainingError(
                f"the loss or its gradient was not finite in the last {in_a_row} steps up to step {self.step}; "
                f"the weights in {self.run.checkpoints} are from before: lower optim.lr, or use "
                "train.precision=fp32, and go on in a new run"
            )
        if self.metrics is None:
            return
        since, first = self.timed_from
        now = time.perf_counter()
        rate = (self.step - first) * self.config.data.batch_size / (now - since)
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
        train, last = self.config.train, epoch == self.config.train.epochs
        if train.knn_every and (last or epoch % train.knn_every == 0):
            self.evaluate()
        if not last and epoch % train.checkpoint_every == 0:
            self.save()

    def evaluate(self) -> float | None:
        """Logs and returns the held-out top-1 accuracy of kNN; None where there are no labels or it is off."""
        if self.val_set is None or not self.config.train.knn_every:
            return None
        bank, queries = (
            labelled_features(self.method.encoder, source, self.config.data, self.device)
            for source in (self.train_set, self.val_set)
        )
        accuracy = knn_accuracy(
            *bank,
            *queries,
            k=self.config.train.knn_k,
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
        batch_size = self.config.data.batch_size
        return tqdm(
            total=self.total_steps * batch_size,
            initial=self.step * batch_size,
            unit="img",
            unit_scale=True,
            desc=self.config.method.name,
            disable=None if rank() == 0 else True,  # None: where standard error is no terminal
        )

    def save(self) -> None:
        """Writes a checkpoint of everything that the next step depends on, which on rank 0 is as on all."""
        if rank() > 0:
            return
        self.checkpoints.save(
            self.step,
            {
                "config": to_dict(self.config),
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
        check_same(self.config, from_dict(state["config"], origin=str(self.run.checkpoints)))
        if state["images"] != len(self.train_set):
            raise UsageError(
                f"--resume: the run was started on {state['images']} images of {self.config.data.source}, "
                f"which now has {len(self.train_set)}; restore them, or use another --out"
            )
        try:
            self.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.guard.load_state_dict(state["guard"])
        except (RuntimeError, ValueError) as error:  # of a version with other networks
            raise UsageError(
                f"--resume: the checkpoint in {self.run.checkpoints} does not fit {self.config.method.name} "
                f"({shorten(str(error), 200)}); resume with the sslfast that wrote it, or use another --out"
            ) from error
        self.step, self.random_knn = state["step"], state["random_knn"]
        self.skipped = int(self.guard.total)
        set_rng_state(state["rng"])
        log.info("resumed at step %d of %d", self.step, self.total_steps)
