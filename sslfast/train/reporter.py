"""Reports the steps of a run: the one place in its loop where the host waits for the device."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from sslfast.config import Recipe
from sslfast.distributed import mean, rank
from sslfast.errors import TrainingError
from sslfast.progress import tqdm
from sslfast.run.directory import RunDirectory
from sslfast.run.logs import MetricsLog, step_log
from sslfast.train.clock import Clock
from sslfast.train.messages import step_line
from sslfast.train.step import TrainStep

log = logging.getLogger(__name__)


class StepReporter:
    """Logs the steps that a run takes, and ends a run whose steps are not finite.

    Args:
        recipe: of the run, with what its images tell.
        run: the run's directory.
        train_step: takes the steps.
        steps_per_epoch: how many make an epoch.
        images: how many the run trains on.

    Attributes:
        clock: measures the steps between two reports.
        chance_loss: the method's loss of embeddings that tell nothing, if it knows it.
    """

    def __init__(
        self, recipe: Recipe, run: RunDirectory, train_step: TrainStep, steps_per_epoch: int, images: int
    ) -> None:
        self.recipe, self.run, self.train_step, self.steps_per_epoch = recipe, run, train_step, steps_per_epoch
        self.chance_loss = train_step.method.chance_loss(recipe, images)
        self.clock = Clock()
        self.reported_skips = 0  # steps that the guard skipped, as far as they were reported

    def report(self, values: dict[str, Tensor], metrics: MetricsLog | None, bar: tqdm) -> None:
        """Logs a step.

        Args:
            values: what the step returned: scalars by name, of this rank.
            metrics: on rank 0, which writes.
            bar: shows the loss.

        Raises:
            TrainingError: step after step was not finite.
        """
        step = self.train_step.steps_done
        numbers = dict(zip(values, mean(torch.stack(list(values.values()))).tolist(), strict=True))
        skipped, in_a_row = self.train_step.guard.counts()
        if skipped > self.reported_skips and rank() == 0:  # it is skipped by all
            log.warning(
                "step %d: loss or gradient not finite, steps skipped since the last report: %d",
                step,
                skipped - self.reported_skips,
            )
            self.reported_skips = skipped
        self._check_finite(skipped, in_a_row)
        if metrics is None:
            return
        lap, batch_size = self.clock.lap(), self.recipe.data.batch_size
        epoch, lr = step / self.steps_per_epoch, self.train_step.learning_rate(step - 1)
        bar.set_postfix(loss=f"{numbers['loss']:.3f}")
        step_log.info("%s", step_line(step, self.train_step.total_steps, epoch, lr, lap, batch_size, numbers))
        metrics.write(
            step,
            epoch,
            lr=lr,
            images_per_second=round(batch_size / lap.seconds_per_step, 1),
            skipped_steps=skipped,
            **numbers,
            **self.train_step.loss_scale(),
            **self._information(numbers["loss"]),
        )

    def go_on(self) -> None:
        """Takes the steps that were skipped before a run was resumed as reported."""
        self.reported_skips, _ = self.train_step.guard.counts()

    def check_finite(self) -> None:
        """Raises TrainingError if the latest steps were all skipped: many of them, or all there are."""
        self._check_finite(*self.train_step.guard.counts())

    def _check_finite(self, skipped: int, in_a_row: int) -> None:
        if in_a_row < min(self.recipe.train.max_bad_steps, self.train_step.total_steps):
            return
        step, checkpoints = self.train_step.steps_done, self.run.checkpoints
        if not checkpoints.is_dir():
            weights = "nothing is saved yet"
        elif skipped == step:
            weights = f"no step was, and the weights in {checkpoints} are still the initial ones"
        else:
            weights = f"the weights in {checkpoints} are from before"
        raise TrainingError(
            f"the loss or its gradient was not finite in the last {in_a_row} steps up to step {step}; "
            f"{weights}: lower optim.lr, or use train.precision=fp32, and go on in a new run"
        )

    def _information(self, loss: float) -> dict[str, float]:
        """Bounds the mutual information of two views by log N - L, in nats, where the loss gives a bound."""
        if not self.train_step.method.bounds_information or self.chance_loss is None:
            return {}
        return {"mi_bound": self.chance_loss - loss}
