"""What a run to resume is: the directory that a command line means, its settings, and its images."""

from __future__ import annotations

import logging
from pathlib import Path

from sslfast.config import Recipe
from sslfast.config.paths import user_path
from sslfast.config.settings import Overrides, flat, settings_of, shown
from sslfast.data import Source
from sslfast.data.inventory import Inventory
from sslfast.data.sources.classes import names_in_short
from sslfast.data.sources.names import Names
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe, to_dict, with_precision
from sslfast.run.directory import OF_IMAGES, RunDirectory, read_recipe
from sslfast.run.environment import read_starts

EPOCHS = "train.epochs"  # the setting that a run is extended by

log = logging.getLogger(__name__)


def recipe_to_run(
    recipe: Recipe | str | Path | None,
    run: RunDirectory,
    overrides: Overrides = (),
    *,
    data: Names | None = None,
    resume: bool = False,
    extend: str | None = None,
) -> Recipe:
    """Loads the recipe that is to run in a directory, in a precision that `auto` leaves no longer open.

    A run is resumed with the settings that it was started with, out of its config.yaml, and not with those that a
    recipe of this name or a YAML file has now; a line of the log names where the two differ.

    Args:
        recipe: as for `load_recipe`; a recipe that is loaded has to be that of the run. None: that of the run.
        run: the directory.
        overrides: settings over those of the recipe or of the run.
        data: the images, in place of those of either.
        resume: whether to go on with the run in the directory, if it holds one.
        extend: "train.epochs=N", to which the run is to go on; None: to where it was to go anyway.

    Raises:
        UsageError: no such recipe, settings that cannot work, a run of another method, no run where there is no
            recipe, or one that cannot be extended so.
    """
    if extend is not None:
        check_extension(extend, run, overrides, resume=resume)
        overrides = [*settings_of(overrides), *settings_of([extend])]
    stored = read_recipe(run.config) if resume and run.config.exists() else None
    precision = stored.train.precision if stored else None
    if isinstance(recipe, Recipe) or stored is None:
        if recipe is None:
            raise UsageError(f"--resume {run.path}: holds no run (no {run.config.name}); name the recipe to start")
        return with_precision(load_recipe(recipe, overrides, data=data), precision)
    if recipe is not None:
        named = with_precision(load_recipe(recipe, overrides, data=data), precision)
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
                names_in_short(different),
            )
    return with_precision(load_recipe(stored, overrides, data=data), precision)


def check_extension(extend: str, run: RunDirectory, overrides: Overrides, *, resume: bool) -> None:
    """Refuses to extend a run by anything but more epochs; by as many as it has, as given before, is no change.

    Raises:
        UsageError: another setting, fewer epochs, no run to resume, or one without a checkpoint.
    """
    if not resume:
        raise UsageError(f"--extend {extend}: is for a run that goes on; give --resume and the run's directory")
    if extend.partition("=")[0] != EPOCHS:
        raise UsageError(f"--extend {shown(extend)}: expected {EPOCHS}=N, as a run is extended by epochs alone")
    if twice := [value for key, value in settings_of(overrides) if key == EPOCHS]:
        raise UsageError(f"--extend {extend} and {EPOCHS}={twice[0]} both name the epochs; give one")
    if not run.has_checkpoint():
        raise UsageError(
            f"--extend {extend}: {run.path} holds no checkpoint to go on from; start a run of as many"
        )
    if run.config.exists():  # else the checkpoint has the recipe
        stored = read_recipe(run.config)
        if load_recipe(stored, [extend]).train.epochs < stored.train.epochs:
            raise UsageError(f"--extend {extend}: expected more than the {stored.train.epochs} epochs of the run")


def _different(recipe: Recipe, other: Recipe) -> list[str]:
    """Lists the whole keys of the settings in which two recipes differ, without those that the images tell."""
    ours, theirs = (dict(flat(to_dict(each))) for each in (recipe, other))
    return [
        key for key in dict.fromkeys([*ours, *theirs]) if key not in OF_IMAGES and ours.get(key) != theirs.get(key)
    ]


def check_initial_weights(digest: str, recipe: Recipe, run: RunDirectory) -> None:
    """Refuses to begin a run again, which has no checkpoint yet, from weights that have changed since its start.

    Args:
        digest: of the weights that `encoder.weights` names now.
        recipe: the run's.
        run: its directory, where its starts are recorded.

    Raises:
        UsageError: it was started from others.
    """
    starts = read_starts(run.environment)
    before = next((start.initial_weights for start in reversed(starts) if start.initial_weights), digest)
    if before != digest:
        raise UsageError(
            f"--resume: the run was started from weights of the digest {before}, and those of encoder.weights="
            f"{recipe.encoder.weights} now have {digest}; restore them, or use another --out"
        )


def named_run(recipe: str | None, out: Path | None, *, resume: bool) -> tuple[str | None, Path]:
    """Finds the recipe and the run's directory that a command line means.

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


def find_images(inventory: Inventory, source: Source, recipe: Recipe) -> Source:
    """Finds the images of a run to resume where they are now. Raises UsageError where they are not."""
    try:
        return inventory.find(source, limited=recipe.data.limit is not None)
    except UsageError as error:
        raise UsageError(f"--resume: {error}; restore them, or train on these in another --out") from error
