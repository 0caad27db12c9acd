"""`sslfast.pretrain`: from images to a run, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from sslfast.api.run import Run
from sslfast.commands.pretrain import pretrain as pretrain_named
from sslfast.config import Recipe
from sslfast.config.settings import Overrides, settings_of
from sslfast.data.sources.given import Data, named_data
from sslfast.encoders.given import named_module
from sslfast.methods import Method
from sslfast.recipes.registration import method_name, register_method
from sslfast.run.loggers import Logger
from sslfast.train.callbacks import OnEpoch, OnStep, no_call


def pretrain(
    recipe: Recipe | str | Path | type[Method] | None,
    out: str | Path,
    *,
    data: Data | None = None,
    encoder: str | nn.Module | Mapping[str, Any] | None = None,
    overrides: Overrides = (),
    resume: bool = False,
    overwrite: bool = False,
    extend: str | None = None,
    on_step: OnStep = no_call,
    on_epoch: OnEpoch = no_call,
    loggers: Sequence[Logger] = (),
    **settings: Any,
) -> Run:
    """Pre-trains an encoder and returns the run, which its directory holds.

        run = sslfast.pretrain("simclr", "runs/photos", data="photographs/", encoder="resnet50")
        run = sslfast.pretrain("simclr", "runs/own", data=(images, labels), encoder=module, train={"epochs": 5})

    It does what the command `sslfast pretrain` does, which has names only. Under torchrun its processes share the
    run.

    Args:
        recipe: what to run: the name of a recipe or a method, a YAML file, a recipe, or the class of a method,
            which is registered; None: that of the run.
        out: the run's directory.
        data: the images, as `sslfast.data.sources.given.named_data` takes them: names, a data set of PyTorch,
            arrays; None: those of the recipe.
        encoder: the backbone: a name as of `encoder.name`; a module from images (B, C, S, S) to features (B, D) or
            a map (B, D, h, w), which is copied with its weights, and stays as it is; or the settings of the
            section. None: that of the recipe.
        overrides: settings over those of the recipe, as the command line has them: ["train.epochs=5"].
        resume: go on from the directory's latest checkpoint, if it has one. What was given from Python has to be
            given again: the same images, and a module of the same architecture.
        overwrite: replace the run in the directory.
        extend: "train.epochs=N", more epochs than a run to resume was to have: it goes on to so many.
        on_step: is called after each step with the number of steps done and the loss and the method's further
            values, 0-d tensors on the device by name; to read one makes the host wait.
        on_epoch: is called after each epoch with the number of epochs done and the encoder, in training mode.
        loggers: what the metrics go to beside those that train.loggers names, see `sslfast.run.loggers.Logger`.
        **settings: further settings over those of the recipe: train={"epochs": 5} or **{"train.epochs": 5}.

    Raises:
        UsageError: settings or data that cannot work, found before training.
        TrainingError: training cannot go on; the latest checkpoint is good.
        SystemExit: 143 (130 after SIGINT) once a signal's checkpoint is saved.
    """
    if isinstance(recipe, type):
        recipe = method_name(register_method(recipe))
    module = encoder if isinstance(encoder, nn.Module) else None
    with named_data(data) as names, named_module(module) as name:
        section = encoder if isinstance(encoder, Mapping) else {"name": name or encoder}
        backbone = {} if encoder is None else {"encoder": section}
        pretrain_named(
            recipe,
            out,
            data=names,
            overrides=[*settings_of(overrides), *settings_of(backbone), *settings_of(settings)],
            resume=resume,
            overwrite=overwrite,
            extend=extend,
            on_step=on_step,
            on_epoch=on_epoch,
            loggers=loggers,
        )
    return Run(out, data=None if names is data else data, encoder=module)
