"""`sslfast pretrain`: from a recipe and images to a run's directory."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from sslfast.config import Recipe
from sslfast.config.paths import user_path
from sslfast.config.settings import Overrides
from sslfast.data import open_data
from sslfast.data.inventory import take_inventory
from sslfast.data.sources.names import Names
from sslfast.distributed import rank
from sslfast.distributed.launch import first_alone, joined
from sslfast.errors import UsageError
from sslfast.progress import is_shown
from sslfast.recipes.check import check_recipe
from sslfast.run.directory import RunDirectory
from sslfast.run.inventory import read_inventory, write_inventory
from sslfast.run.loggers import Logger, check_loggers
from sslfast.run.logs import log_to
from sslfast.run.resumption import check_initial_weights, find_images, recipe_to_run
from sslfast.train.callbacks import OnEpoch, OnStep, no_call
from sslfast.train.interrupt import Interrupt
from sslfast.train.messages import stopped
from sslfast.train.trainer import Trainer, log
from sslfast.weights.initial import initial_weights


def pretrain(
    recipe: Recipe | str | Path | None,
    out: str | Path,
    *,
    data: Names | None = None,
    overrides: Overrides = (),
    resume: bool = False,
    overwrite: bool = False,
    extend: str | None = None,
    on_step: OnStep = no_call,
    on_epoch: OnEpoch = no_call,
    loggers: Sequence[Logger] = (),
) -> None:
    """Pre-trains an encoder and leaves a run directory (see `sslfast.run.directory`).

    Under torchrun its processes share the run.

    Args:
        recipe: what to run: a recipe, the name of one, or a YAML file, as `load_recipe` takes them; to resume, see
            `sslfast.run.resumption.recipe_to_run`.
        out: the run's directory.
        data: the images, in place of the recipe's `data.source`, a list of several; None: those of the recipe.
        overrides: settings over those of the recipe, as `load_recipe` takes them.
        resume: go on from the directory's latest checkpoint, if it has one.
        overwrite: replace the run in the directory.
        extend: "train.epochs=N", more epochs than a run to resume was to have: it goes on to so many.
        on_step, on_epoch: are called after each, see `sslfast.train.callbacks`.
        loggers: what the metrics go to beside those that the recipe names.

    Raises:
        UsageError: settings or data that cannot work, found before training.
        TrainingError: training cannot go on; the latest checkpoint is good.
        SystemExit: 143 (130 after SIGINT) once a signal's checkpoint is saved.
    """
    run = RunDirectory(_out(out))
    recipe = recipe_to_run(recipe, run, overrides, data=data, resume=resume, extend=extend)
    with joined(recipe.train.rank_timeout) as ranks:
        check_recipe(recipe)
        check_loggers(recipe)
        claimed = run.claimed(recipe, resume=resume, overwrite=overwrite, extend=extend is not None)
        with claimed if rank() == 0 else nullcontext():
            resumes = resume and run.has_checkpoint()
            with first_alone(ranks):  # it may download or unpack
                source = open_data(recipe.data)
                initial = None if resumes else initial_weights(recipe)
            if resume and initial is not None:
                check_initial_weights(initial.digest, recipe, run)
            inventory = read_inventory(run.images) if resume else None
            if inventory is not None:
                source = find_images(inventory, source, recipe)
            trainer = Trainer(
                recipe, run, source, inventory, initial, on_step=on_step, on_epoch=on_epoch, loggers=loggers
            )
            if resume:
                trainer.resume()
            if rank() == 0:
                run.start(trainer.recipe, resume=resume)  # not before it is known that the run can be
                if inventory is None:
                    write_inventory(run.images, take_inventory(source))
            recorded = log_to(run.log, progress_bar=is_shown()) if rank() == 0 else nullcontext()
            with recorded, logging_redirect_tqdm(), Interrupt() as interrupt:
                if trainer.step and inventory is None:
                    log.warning(
                        "--resume: the run, by an older sslfast, has no %s: of %s only the number is checked",
                        run.images.name,
                        source.name,
                    )
                with ranks.watched(trainer.saver.reached):
                    trainer.fit(interrupt)
                if not trainer.finished and interrupt.received:
                    log.info("%s", stopped(interrupt.received.name, trainer.step, trainer.total_steps, run))
    if not trainer.finished:
        raise SystemExit(interrupt.exit_code)


def _out(text: str | Path) -> Path:
    """Returns a run's directory. Raises UsageError where TensorBoard cannot write: its names are UTF-8."""
    path = user_path(text)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"--out {path}: is not UTF-8, as TensorBoard's files must be; choose another") from error
    return path
