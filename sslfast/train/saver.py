"""Saves all that the next step of a run depends on, and takes a run back to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.distributed import largest, rank
from sslfast.errors import UsageError
from sslfast.random.generators import rng_state, set_rng_state
from sslfast.recipes.load import from_stored, to_dict
from sslfast.run.checkpoint import Checkpoints
from sslfast.run.directory import RunDirectory, check_same
from sslfast.run.fits import check_kinds, check_like, check_rng
from sslfast.train.monitor import FeatureMonitor
from sslfast.train.step import TrainStep

log = logging.getLogger(__name__)


class Saver:
    """Writes the checkpoints of a run, and goes back to the latest.

    Args:
        recipe: of the run, with what its images tell.
        run: the run's directory.
        train_step: what is saved of it is the same, or has a part, on every rank.
        monitor: whose first figure is saved too.
        train_set: the images that it trains on.

    Attributes:
        checkpoints: the files.
        saved_step: the step of the latest checkpoint that this process wrote or read; -1: none.
        epochs_before: the epochs that the run was to have when it was saved.
    """

    def __init__(
        self, recipe: Recipe, run: RunDirectory, train_step: TrainStep, monitor: FeatureMonitor, train_set: Source
    ) -> None:
        self.recipe, self.run = recipe, run
        self.train_step, self.monitor, self.train_set = train_step, monitor, train_set
        self.checkpoints = Checkpoints(run.checkpoints, recipe.train.keep_checkpoints)
        self.saved_step = -1
        self.epochs_before = recipe.train.epochs

    def save(self) -> None:
        """Writes a checkpoint, if this step has none, of all that the next step depends on.

        On rank 0 that is as on all.
        """
        if self.train_step.steps_done == self.saved_step:
            return
        self.saved_step = self.train_step.steps_done
        state = self.train_step.state_dict()  # all ranks have their part in it
        if rank() > 0:
            return
        self.checkpoints.save(
            self.saved_step,
            {
                **state,
                "config": to_dict(self.recipe),
                "images": len(self.train_set),
                "initial_knn": self.monitor.initial_top1,
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
        saved = from_stored(state["config"], origin=str(path))
        check_same(self.recipe, saved, extend=True)
        if state["images"] != len(self.train_set):
            raise UsageError(
                f"--resume: the run was started on {state['images']} images of {self.train_set.name}, "
                f"which now has {len(self.train_set)}; restore them, or use another --out"
            )
        with self._fitting(path):
            initial_knn = state.get("initial_knn", state.get("random_knn"))  # its former name
            check_like(initial_knn, None, "initial_knn")
            check_rng(state["rng"], "rng")
            self.train_step.load_state_dict(state)
            set_rng_state(state["rng"])
        self.epochs_before = saved.train.epochs
        self.saved_step = self.train_step.steps_done
        self.monitor.initial_top1 = initial_knn

    def reached(self) -> str:
        """Says how far the run has come, what its checkpoint holds, and how it goes on."""
        saved, step = self.checkpoints.latest_step(), self.train_step.steps_done
        if saved is None:
            return f"at step {step}; no checkpoint is saved yet: start the run again"
        return f"at step {step}; {self.run.checkpoints} holds step {saved}: go on with --resume"

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
