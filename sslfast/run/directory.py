"""A run's directory: its recipe, and all that it leaves behind.

config.yaml         the resolved configuration
images.json.gz      the inventory of the images, see `sslfast.data.inventory`
metrics.jsonl       one JSON object a line, see `MetricsLog`
environment.jsonl   one JSON object a start of the run, see `run.environment`
train.log           what the terminal showed, less the progress bar
events.out.*        the metrics for TensorBoard
loggers.json        the ids under which other loggers know the run; wandb/ has that one's files
checkpoints/        last.pt and the latest few by step
summary.json        the last figures of a finished run, see `sslfast.run.summary`
backbone.safetensors, report/, evaluation/
run.lock            the process that trains in it, while it does
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sslfast.config import Recipe
from sslfast.config.paths import existing_path
from sslfast.config.plain_yaml import read_yaml
from sslfast.config.settings import flat, shown
from sslfast.errors import UsageError
from sslfast.hints import MANY
from sslfast.recipes.load import from_stored, to_dict, to_yaml
from sslfast.run import lock
from sslfast.run.atomic import atomic_write
from sslfast.run.checkpoint import Checkpoints, load
from sslfast.run.metrics import read_metrics

# Settings that a resumed run may change, since no weight depends on them up to the step it resumes from.
CHANGEABLE = {
    "data.source",
    "data.classes",  # as the inventory has the images' labels
    "data.workers",
    "data.prefetch",
    "data.on_error",
    "data.max_bad",
    "data.max_unpacked",
    "train.parallel",
    "train.checkpointing",
    "train.compile",
    "train.threads",
    "train.log_every",
    "train.loggers",
    "train.knn_every",
    "train.knn_k",
    "train.checkpoint_every",
    "train.keep_checkpoints",
    "train.rank_timeout",
    "train.max_bad_steps",
}

# Settings that a recipe may leave to the images, see `Method.of_images`: a run has them as its images tell.
OF_IMAGES = {"method.num_classes"}


class RunDirectory:
    """The paths in a run's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.images = path / "images.json.gz"
        self.metrics = path / "metrics.jsonl"
        self.environment = path / "environment.jsonl"
        self.log = path / "train.log"
        self.loggers = path / "loggers.json"
        self.wandb = path / "wandb"
        self.checkpoints = path / "checkpoints"
        self.summary = path / "summary.json"
        self.backbone = path / "backbone.safetensors"
        self.report = path / "report"
        self.evaluation = path / "evaluation"

    def has_checkpoint(self) -> bool:
        """Tells whether there is a checkpoint, which need not be whole."""
        return bool(self.checkpoint_files())

    def checkpoint_files(self) -> list[Path]:
        """Lists the checkpoints that a run may go on from, newest first, which need not be whole."""
        return Checkpoints(self.checkpoints, keep=0).files()

    def contents(self) -> list[Path]:
        """Lists the files and folders in the directory that a run left there."""
        parts = {path for name, path in vars(self).items() if name != "path"}
        return [path for path in self.path.iterdir() if path in parts or _is_part(path)]

    def check_is_run(self) -> None:
        """Refuses a directory that may be something else: no recipe, metrics or checkpoint there can be read.

        Raises:
            UsageError: it may.
        """
        try:
            read_recipe(self.config)
        except UsageError as error:
            checkpoints = self.checkpoint_files()
            if not _can_read(read_metrics, self.metrics) and not any(
                _can_read(load, path) for path in checkpoints
            ):
                raise UsageError(
                    f"--out {self.path}: --overwrite replaces runs, and no recipe, metrics or checkpoint here can "
                    f"be read ({error}); remove it yourself, or choose another directory"
                ) from error

    @contextmanager
    def claimed(self, recipe: Recipe, *, resume: bool, overwrite: bool, extend: bool = False) -> Iterator[None]:
        """Keeps the directory, which is made where it is missing, from other runs until the block ends.

        Raises:
            UsageError: as `check_usable`, another process runs in it, or it cannot be written to.
        """
        self.check_usable(recipe, resume=resume, overwrite=overwrite, extend=extend)
        with lock.locked(self.path):  # a run may have come and gone between
            self.check_usable(recipe, resume=resume, overwrite=overwrite, extend=extend)
            yield

    def check_usable(self, recipe: Recipe, *, resume: bool, overwrite: bool, extend: bool = False) -> None:
        """Refuses a directory that the run cannot have; changes nothing.

        Args:
            recipe: what is to run.
            resume: go on with the run in the directory.
            overwrite: replace it.
            extend: `recipe` may have more epochs than the run to resume.

        Raises:
            UsageError: it holds something that is no run, or a run where neither `resume` nor `overwrite` is
                set, or a run to resume that has another configuration.
        """
        try:
            present = set(self.path.iterdir()) - {self.path / lock.NAME}
            contents = self.contents()
        except FileNotFoundError:
            return
        except NotADirectoryError:
            present, contents = {self.path}, []
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot read: {error.strerror}") from error
        if present.difference(contents):
            raise UsageError(f"--out {self.path}: holds files that are no run's; choose another directory")
        if all(path.suffix == ".tmp" for path in contents):
            return
        if resume:
            if self.config.exists():  # else the checkpoint has the recipe
                check_same(recipe, read_recipe(self.config), extend=extend)
        elif not overwrite:
            raise UsageError(
                f"--out {self.path}: holds a run; continue it with --resume, or replace it with --overwrite"
            )
        else:
            self.check_is_run()

    def start(self, recipe: Recipe, *, resume: bool) -> None:
        """Makes the directory; unless to resume, empties it of the run that it holds.

        Raises:
            UsageError: it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not resume:
                for path in self.contents():
                    # Its file is replaced in the end: until then the directory is seen to be a run's.
                    if path != self.config or path.is_dir():
                        _remove(path)
            with atomic_write(self.config) as file:
                file.write(to_yaml(recipe).encode())
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot write: {error.strerror}") from error


def existing_run(path: str | Path) -> RunDirectory:
    """Finds the run in a directory. Raises UsageError where there is none."""
    run = RunDirectory(existing_path(path))
    if not run.config.is_file():
        raise UsageError(f"{path}: holds no run of sslfast (no {run.config.name}); give the --out of a pretrain")
    return run


def _is_part(path: Path) -> bool:
    """Tells whether a file is of TensorBoard's events, or one that a killed process had not finished."""
    return path.name.startswith("events.out.") or path.suffix == ".tmp"


def _can_read(read: Callable[[Path], object], path: Path) -> bool:
    """Tells whether there is anything of a kind in a file, by what reads that kind."""
    try:
        return bool(read(path))
    except UsageError:
        return False


def _remove(path: Path) -> None:
    """Removes a file, a link or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def read_recipe(path: Path) -> Recipe:
    """Reads the configuration in a run's config.yaml. Raises UsageError if it is something else."""
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not the configuration of a run: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path}: not the configuration of a run: a {type(values).__name__}, expected a mapping")
    return from_stored(values, origin=str(path))


def check_same(now: Recipe, before: Recipe, *, extend: bool = False) -> None:
    """Refuses a recipe of other settings than those that a resumed run may change.

    Args:
        now, before: the recipe to resume by, and that of the run.
        extend: it may have more epochs, too.

    Raises:
        UsageError: names the settings that differ.
    """
    if extend and now.train.epochs > before.train.epochs:
        now = replace(now, train=replace(now.train, epochs=before.train.epochs))
    old, new = (dict(flat(to_dict(recipe))) for recipe in (before, now))
    changed = [
        f"{key} was {shown(old.get(key))} and is {shown(new.get(key))}"
        for key in dict.fromkeys([*new, *old])
        if key not in OF_IMAGES and not _is_changeable(key) and old.get(key) != new.get(key)
    ]
    if changed:
        more = [f"and {len(changed) - MANY} more"] if len(changed) > MANY else []
        settings = ", ".join(changed[:MANY] + more)
        raise UsageError(f"--resume: the run was started otherwise: {settings}; use another --out")


def _is_changeable(key: str) -> bool:
    """Tells whether a setting, or the list that it is an item of, is one that a resumed run may change."""
    return key in CHANGEABLE or key.rpartition(".")[0] in CHANGEABLE
