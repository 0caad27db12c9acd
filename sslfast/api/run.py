"""A run on disk as an object."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from sslfast.api.evaluate import evaluate
from sslfast.commands.pretrain import pretrain
from sslfast.commands.report import overview, write_report
from sslfast.config import Recipe
from sslfast.data.sources.given import Data, named_data
from sslfast.encoders import Encoder
from sslfast.encoders.given import named_module
from sslfast.evaluation.result import Evaluation
from sslfast.run.directory import existing_run, read_recipe
from sslfast.run.loggers import Logger
from sslfast.run.metrics import read_metrics
from sslfast.train.callbacks import OnEpoch, OnStep, no_call
from sslfast.weights import load_encoder

HEIGHT = 620  # of the run in a notebook, in pixels


class Run:
    """A run, finished or not: its settings, metrics and encoder, and what can be done with it.

        run = sslfast.Run("runs/photos")
        run.metrics[-1]["loss"]
        features = run.encoder(images)

    A notebook shows its figures and curves.

    Args:
        path: its directory.
        data: its images, if it was given them from Python; None: they are where its recipe says.
        encoder: a module like the one that it trains, if that was given from Python.

    Attributes:
        path: the directory.

    Raises:
        UsageError: the directory holds no run.
    """

    def __init__(self, path: str | Path, *, data: Data | None = None, encoder: nn.Module | None = None) -> None:
        self.path = existing_run(path).path
        self._directory, self._data, self._module = existing_run(path), data, encoder

    @property
    def recipe(self) -> Recipe:
        """Reads the settings of the run."""
        return read_recipe(self._directory.config)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Reads metrics.jsonl's lines, {"step": int, "epoch": float, ...}: losses and the like, or accuracies."""
        return read_metrics(self._directory.metrics)

    @cached_property
    def encoder(self) -> Encoder:
        """Loads the encoder of the latest checkpoint, as `sslfast.load_encoder` loads it.

        Raises:
            UsageError: there is no checkpoint; or the encoder is a module, which was not given.
        """
        with named_module(self._module) as architecture:
            return load_encoder(self.path, architecture=architecture)

    def evaluate(self, kind: str, data: Data | None = None, **settings: Any) -> Evaluation:
        """Evaluates the encoder as `sslfast.evaluate` does, on the run's own images unless others are given."""
        data = next(each for each in (data, self._data, self.recipe.data.source) if each is not None)
        return evaluate(kind, self.path, data, architecture=self._module, **settings)

    def report(self, data: Data | None = None) -> Path:
        """Draws the run as `sslfast report` does: one HTML file, which it returns.

        Args:
            data: the images to show; None: the run's own.

        Raises:
            UsageError: as `sslfast.commands.report.write_report`.
        """
        with named_data(self._data), named_data(data) as shown, named_module(self._module):
            return write_report(self.path, shown)

    def resume(
        self,
        *,
        extend: int | None = None,
        on_step: OnStep = no_call,
        on_epoch: OnEpoch = no_call,
        loggers: Sequence[Logger] = (),
        **settings: Any,
    ) -> Run:
        """Goes on with the run, by the settings that it was started with, and returns it.

        Args:
            extend: more epochs than it was to have; None: it goes on to those.
            on_step, on_epoch, loggers: as `sslfast.pretrain` takes them.
            **settings: changes of settings that no weight depends on, as `sslfast.pretrain` takes them.

        Raises:
            UsageError, TrainingError, SystemExit: as `sslfast.pretrain`.
        """
        with named_data(self._data) as names, named_module(self._module):
            pretrain(
                None,
                self.path,
                data=names,
                overrides=settings,
                resume=True,
                extend=None if extend is None else f"train.epochs={extend}",
                on_step=on_step,
                on_epoch=on_epoch,
                loggers=loggers,
            )
        self.__dict__.pop("encoder", None)
        return self

    def __repr__(self) -> str:
        return f"sslfast.Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Shows the figures and curves, in a frame of their own, as their style is that of a page."""
        content = html.escape(overview(self.path))
        return f'<iframe srcdoc="{content}" width="100%" height="{HEIGHT}" style="border: 0"></iframe>'
