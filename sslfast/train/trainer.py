"""Pre-training: a loop that fits a screen.

Images -> views -> the step (`sslfast.train.step`) -> log, checkpoint, kNN. A batch is a function of (seed, epoch,
step), and the states of all random generators are saved: a resumed run takes the very steps that an uninterrupted
one takes.

Several processes take the steps that one process takes, but for rounding, and for batch normalization, which is
over a rank's images unless encoder.norm=sync. A rank has its rows of a batch; weights, optimizer, queues and
generators are the same on every rank, and rank 0 alone writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.data import Batch, Source, load_small, split
from sslfast.data.inventory import Inventory
from sslfast.data.sources.classes import names_in_short
from sslfast.data.split import untrained_classes
from sslfast.distributed import largest, rank
from sslfast.distributed.launch import own_device
from sslfast.encoders import Encoder
from sslfast.errors import TrainingError, UsageError
from sslfast.evaluation.features import features
from sslfast.progress import tqdm
from sslfast.recipes.load import to_dict
from sslfast.run.backbone import initial_name, write_backbone
from sslfast.run.directory import RunDirectory
from sslfast.run.environment import record_start
from sslfast.run.loggers import Logger, named_loggers
from sslfast.run.logs import MetricsLog
from sslfast.run.metrics import read_metrics
from sslfast.train.callbacks import OnEpoch, OnStep, no_call
from sslfast.train.interrupt import Interrupt, Interrupted
from sslfast.train.messages import evaluation_line, extension_line, footer, header, other_statistics
from sslfast.train.monitor import FeatureMonitor
from sslfast.train.reporter import StepReporter
from sslfast.train.saver import Saver
from sslfast.train.step import build_step
from sslfast.train.verdict import Scale, judge, rank_warning
from sslfast.weights.initial import InitialWeights

log = logging.getLogger(__name__)


class Trainer:
    """A run: its images, its step, and the loop around them.

    Args:
        recipe: what to run; the attribute has the settings that the images tell, too.
        run: the run's directory, which is written to while it trains.
        source: the images, of which `data.val_fraction` are held out where they have labels.
        inventory: those that a run to resume was started on; None: it starts on these.
        initial: the weights that it starts from; None: random ones, or those of a checkpoint to resume.
        on_step, on_epoch: are called after each, see `sslfast.train.callbacks`.
        loggers: what the metrics go to beside those that the recipe names.

    Attributes:
        train_set, val_set: the parts of the source that it trains on, and that are held out, if any.
        loader: of the training set's batches.
        train_step: all that moves from step to step; `method` is its method.
        saver: of the run's checkpoints.

    Raises:
        UsageError: settings or images that cannot work.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: RunDirectory,
        source: Source,
        inventory: Inventory | None = None,
        initial: InitialWeights | None = None,
        *,
        on_step: OnStep = no_call,
        on_epoch: OnEpoch = no_call,
        loggers: Sequence[Logger] = (),
    ) -> None:
        self.recipe, self.run, self.source, self.initial = recipe, run, source, initial
        self.on_step, self.on_epoch, self.loggers = on_step, on_epoch, loggers
        self.device = own_device(recipe.train.device)
        if recipe.train.threads:
            torch.set_num_threads(recipe.train.threads)
        self.train_set, self.val_set = self._sets(inventory)
        self.train_step, self.loader = build_step(
            recipe, self.train_set, self.device, initial.tensors if initial else None
        )
        self.recipe = recipe = self.train_step.recipe  # with what the images tell
        self.method, self.total_steps = self.train_step.method, self.train_step.total_steps
        self.monitor = FeatureMonitor(recipe, self.train_set, self.val_set, self.device)
        self.saver = Saver(recipe, run, self.train_step, self.monitor, self.train_set)
        images = len(self.train_set)
        self.reporter = StepReporter(recipe, run, self.train_step, self.loader.steps_per_epoch, images)
        self.finished = False  # all is done and written
        self.check_interrupt: Callable[[], None] = lambda: None  # that of `fit`

    def _sets(self, inventory: Inventory | None) -> tuple[Source, Source | None]:
        """Returns the images to train on and those held out, decoded if they are small."""
        data, held_out = self.recipe.data, None
        train_set = self.source
        if self.source.labels is not None and data.val_fraction:
            train_set, held_out = split(self.source, data.val_fraction)
            if untrained := untrained_classes(train_set, held_out):
                log.warning(
                    "%s: all images of %d classes are held out, %s; data.val_fraction=0 trains on all images",
                    *(self.source.name, len(untrained), names_in_short(untrained)),
                )
            held_out = load_small(held_out, data, self.device)
        loaded = load_small(train_set, data, self.device)
        return inventory.places(train_set, loaded) if inventory else loaded, held_out

    @property
    def step(self) -> int:
        """Counts the steps that are done."""
        return self.train_step.steps_done

    def resume(self) -> None:
        """Goes back to the latest checkpoint, see `Saver.resume`."""
        self.saver.resume()
        self.reporter.go_on()

    def fit(self, interrupt: Interrupt) -> None:
        """Trains to the end, or until a signal, and saves.

        A signal ends a step, or what is done between steps at its next batch: a resumed run begins that anew.

        Raises:
            TrainingError: it cannot go on, as where images have vanished.
        """
        written = MetricsLog(self.run, self.step, self.open_loggers) if rank() == 0 else nullcontext()
        if rank() == 0:
            record_start(
                self.run.environment,
                self.device,
                self.step,
                len(self.train_set),
                len(self.val_set or ()),
                epochs=self.recipe.train.epochs,
                initial_weights=self.initial.digest if self.initial else None,
            )
        with written as self.metrics, self.progress() as bar:
            for line in header(self.recipe, self.run, self.train_step, self.train_set, self.val_set):
                log.info("%s", line)
            if self.saver.epochs_before < self.recipe.train.epochs:
                log.info("%s", extension_line(self.train_step, self.saver.epochs_before))
            if self.initial and (warning := other_statistics(self.recipe, self.initial)):
                log.warning("%s", warning)
            if self.source.bad:
                log.warning("%s: left out %d unreadable images", self.source.name, len(self.source.bad))
            if self.val_set is None:
                log.info("%s: no labels, or none held out: no kNN during training", self.source.name)
            try:
                self.train(interrupt, bar)
                self.finished = True
            except Interrupted:
                pass
            except UsageError as error:  # its images are no longer what they were
                raise TrainingError(f"{error}; stopped {self.saver.reached()}") from error
        self.saver.save()
        if self.finished:
            self.reporter.check_finite()
            encoder = self.train_step.encoder()
            if rank() == 0:
                self.conclude(encoder)

    def open_loggers(self) -> list[Logger]:
        return [*named_loggers(self.recipe, self.run, self.step), *self.loggers]

    def train(self, interrupt: Interrupt, bar: tqdm) -> None:
        """Takes the steps that are still to do, and evaluates and saves between epochs.

        Raises:
            Interrupted: a signal came; all ranks are at the same point.
            TrainingError: step after step was not finite.
        """
        self.check_interrupt = interrupt.check
        if self.step % self.loader.steps_per_epoch == 0:
            self.evaluate()  # the initial weights, or those that a signal came before
        for batch in self.batches():
            values = self.train_step(batch)
            bar.update(self.recipe.data.batch_size)
            self.on_step(self.step, values)
            if self.step % self.recipe.train.log_every == 0 or self.step == self.total_steps:
                self.reporter.report(values, self.metrics, bar)
            if self.step % self.loader.steps_per_epoch == 0:
                self.end_epoch()
            if self.step < self.total_steps:
                interrupt.check()

    def batches(self) -> Iterator[Batch]:
        """Yields the batches of the steps that are still to do."""
        steps = self.loader.steps_per_epoch
        for epoch in range(self.step // steps, self.recipe.train.epochs):
            if self.step % steps == 0:
                self.method.start_epoch(epoch, self.embed, self.check_interrupt)
                # Clusters of the same features may differ from machine to machine.
                self.train_step.weights.agree()
            self.reporter.clock.start()
            yield from self.reporter.clock.waits(self.loader.epoch(epoch, start=self.step % steps))

    def embed(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Computes the outputs of a network for the training images, as `methods.base.Embed` has them."""
        return features(
            network, self.train_set, self.recipe.data, self.device, check_interrupt=self.check_interrupt
        )

    def end_epoch(self) -> None:
        """Saves, then evaluates, after an epoch, when it is due, and calls `on_epoch`."""
        epoch = self.step // self.loader.steps_per_epoch
        if self.step == self.total_steps or epoch % self.recipe.train.checkpoint_every == 0:
            self.saver.save()
        self.evaluate()
        self.on_epoch(epoch, self.train_step.encoder())

    def evaluate(self) -> None:
        """Logs the figures of the features between epochs, if they are due and are not in the log yet."""
        epoch = self.step // self.loader.steps_per_epoch
        logged = self.metrics is not None and self.metrics.had("feature_rank", self.step)
        if not self.monitor.is_due(epoch) or largest(int(logged)):
            return
        encoder = self.train_step.encoder()
        values = self.monitor.evaluate(encoder, epoch, self.check_interrupt)
        if self.metrics is not None:
            self.metrics.write(self.step, epoch, **values)
            line = evaluation_line(epoch, values, self.monitor.num_images, encoder.feature_dim, self.recipe)
            log.info("%s", line)
            if warning := rank_warning(read_metrics(self.run.metrics), initial_name(self.recipe.encoder)):
                log.warning("%s", warning)

    def conclude(self, encoder: Encoder) -> None:
        """Leaves the weights and the summary, and says how the run went and what can be done with it."""
        write_backbone(encoder, self.run.backbone, to_dict(self.recipe))
        scale = Scale(
            self.reporter.chance_loss,
            self.method.even_std(self.recipe),
            self.monitor.num_images,
            initial_name(self.recipe.encoder),
        )
        summary = judge(read_metrics(self.run.metrics), self.step, self.recipe.train.epochs, scale)
        summary.save(self.run.summary)
        for line in footer(self.recipe, self.run, summary, labeled=self.source.labels is not None):
            log.info("%s", line)
        for fault in summary.faults:
            log.warning("a sign that this run has learned nothing: %s", fault.message)

    def progress(self) -> tqdm:
        batch_size = self.recipe.data.batch_size
        return tqdm(
            total=self.total_steps * batch_size,
            initial=self.step * batch_size,
            unit="img",
            unit_scale=True,
            desc=self.recipe.method.name,
            disable=None if rank() == 0 else True,  # None: where nobody sees it
        )
