"""`sslfast pretrain`: from a recipe and images to a run's directory."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from sslfast.config import Recipe
from sslfast.config.paths import user_path
from sslfast.data import Source, open_data
from sslfast.data.inventory import Inventory, take_inventory
from sslfast.distributed import rank
from sslfast.distributed.launch import first_alone, joined
from sslfast.errors import UsageError
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe, to_dict
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.run.inventory import read_inventory, write_inventory
from sslfast.run.logs import log_to
from sslfast.train.interrupt import Interrupt
from sslfast.train.messages import stopped
from sslfast.train.trainer import Trainer, log


def pretrain(
    recipe: Recipe | str | Path | None,
    out: str | Path,
    *,
    data: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Pre-trains an encoder and leaves a run directory (see `sslfast.run.directory`).

    Under torchrun its processes share the run.

    Args:
        recipe: what to run: a recipe, the name of one, or a YAML file, as `load_recipe` takes them; to resume, see
            `recipe_to_run`.
        out: the run's directory.
        data: the images, in place of the recipe's `data.source`; None: those of the recipe.
        overrides: "key.sub=value" settings over those of the recipe.
        resume: go on from the directory's latest checkpoint, if it has one.
        overwrite: replace the run in the directory.

    Raises:
        UsageError: settings or data that cannot work, found before training.
        TrainingError: training cannot go on; the latest checkpoint is good.
        SystemExit: 143 (130 after SIGINT) once a signal's checkpoint is saved.
    """
    run = RunDirectory(_out(out))
    recipe = recipe_to_run(recipe, run, overrides, data=data, resume=resume)
    with joined(recipe.train.rank_timeout) as ranks:
        check_recipe(recipe)
        claimed = run.claimed(recipe, resume=resume, overwrite=overwrite) if rank() == 0 else nullcontext()
        with claimed:
            with first_alone(ranks):  # it may download or unpack
                source = open_data(recipe.data)
            inventory = read_inventory(run.images) if resume else None
            if inventory is not None:
                source = _found(inventory, source, recipe)
            trainer = Trainer(recipe, run, source, inventory)
            if resume:
                trainer.resume()
            if rank() == 0:
                run.start(recipe, resume=resume)  # not before it is known that the run can be
                if inventory is None:
                    write_inventory(run.images, take_inventory(source))
            recorded = log_to(run.log, progress_bar=sys.stderr.isatty()) if rank() == 0 else nullcontext()
            with recorded, logging_redirect_tqdm(), Interrupt() as interrupt:
                if trainer.step and inventory is None:
                    log.warning(
                        "--resume: the run, by an older sslfast, has no %s: of %s only the number is checked",
                        run.images.name,
                        source.name,
                    )
                with ranks.watched(trainer.reached):
                    trainer.fit(interrupt)
                if not trainer.finished and interrupt.received:
                    log.info("%s", stopped(interrupt.received.name, trainer.step, trainer.total_steps, run))
    if not trainer.finished:
        raise SystemExit(interrupt.exit_code)


def recipe_to_run(
    recipe: Recipe | str | Path | None,
    run: RunDirectory,
    overrides: Sequence[str] = (),
    *,
    data: str | Path | None = None,
    resume: bool = False,
) -> Recipe:
    """The recipe that is to run in a directory.

    A run is resumed with the settings that it was started with, out of its config.yaml, and not with those that a
    recipe of this name or a YAML file has now; a line of the log names where the two differ.

    Args:
        recipe: as for `load_recipe`; a recipe that is loaded has to be that of the run. None: that of the run.
        run: the directory.
        overrides: settings over those of the recipe or of the run.
        data: the images, in place of those of either.
        resume: whether to go on with the run in the directory, if it holds one.

    Raises:
        UsageError: no such recipe, settings that cannot work, a run of another method, or no run where there is
            no recipe.
    """
    if isinstance(recipe, Recipe) or not (resume and run.config.exists()):
        if recipe is None:
            raise UsageError(f"--resume {run.path}: holds no run (no {run.config.name}); name the recipe to start")
        return load_recipe(recipe, overrides, data=data)
    stored = read_recipe(run.config)
    if recipe is not None:
        named = load_recipe(recipe, overrides, data=data)
        if named.method.name != stored.method.name:
            raise UsageError(
                f"--resume: {run.path} holds a run of {stored.method.name}, and {recipe} is of "
                f"{named.method.name}; choose another --out"
            )
        if different := _different(named, stored):
            log.info(
                "--resume: the settings are the run's, from %s; %s has others of %s",
                run.config,
                recipe,
                ", ".join(different),
            )
    return load_recipe(stored, overrides, data=data)


def _different(recipe: Recipe, other: Recipe) -> list[str]:
    """The settings in which two recipes of a method differ, as "section.key"."""
    ours, theirs = to_dict(recipe), to_dict(other)
    return [
        f"{section}.{key}"
        for section in ours
        for key in ours[section]
        if ours[section][key] != theirs[section].get(key)
    ]


def named_run(recipe: str | None, out: Path | None, *, resume: bool) -> tuple[str | None, Path]:
    """The recipe and the run's directory that a command line means.

    Args:
        recipe: the first argument; to resume without `out`, a run's directory serves as well.
        out: the run's directory; None: runs/ and the recipe's name.
        resume: whether a run is to be resumed.

    Returns:
        (recipe, directory); the recipe is None where that of the run is meant.

    Raises:
        UsageError: neither names a run.
    """
    if out is not None:
        return recipe, out
    if recipe is None:
        raise UsageError("--resume: which run? give its directory")
    if resume and (run := RunDirectory(user_path(recipe))).config.exists():
        return None, run.path
    return recipe, Path("runs") / Path(recipe).stem


def _found(inventory: Inventory, source: Source, recipe: Recipe) -> Source:
    """The images of a run to resume where they are now. Raises UsageError where they are not."""
    try:
        return inventory.find(source, limited=recipe.data.limit is not None)
    except UsageError as error:
        raise UsageError(f"--resume: {error}; restore them, or train on these in another --out") from error


def _out(text: str | Path) -> Path:
    """The directory of a run. Raises UsageError where TensorBoard, whose names are UTF-8, cannot write to it."""
    path = user_path(text)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"--out {path}: is not UTF-8, as TensorBoard's files must be; choose another") from error
    return path
