"""Checkpoints: written whole or not at all, read without trusting them.

A checkpoint is a dict of tensors and plain values. The trainer's holds

    config      the recipe, by `recipes.load.to_dict`
    method      state_dict of the method: encoder, heads, momentum networks, queues
    optimizer   state_dict
    guard       state_dict of the FiniteGuard
    scaler      state_dict of the GradScaler; empty but in fp16
    rng         the states of the random generators, `random.generators.rng_state`
    step        steps done; epoch and position in the data follow from it
    images      number of images to train on
    initial_knn kNN accuracy of the initial weights, or None
"""

from __future__ import annotations

import logging
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sslfast.errors import TrainingError, UsageError
from sslfast.run.atomic import atomic_write

log = logging.getLogger(__name__)

FORMAT, VERSION = "sslfast.checkpoint", 1
# Exact types, as the unpickler goes by them: NumPy's float64 is a float, and would be refused.
CONTAINERS = (list, tuple)
MAPPINGS = (dict, OrderedDict)
PLAIN = (Tensor, nn.Parameter, str, int, float, bool, type(None))


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint: all of it or, killed at any moment, nothing of it.

    Args:
        path: the file; one that exists is replaced.
        state: tensors, numbers, strings and None in dicts, lists and tuples.

    Raises:
        TypeError: the state holds something else, which `load` would refuse.
        TrainingError: it cannot be written, for example as the disk is full; what was at `path` is intact.
    """
    _check_plain(state, "state")
    try:
        with atomic_write(path) as file:
            torch.save({"format": FORMAT, "version": VERSION, "state": state}, file)
    except (OSError, RuntimeError) as error:  # torch turns a write that fails into a RuntimeError
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        raise TrainingError(
            f"{path}: cannot write the checkpoint ({cause}); an earlier one is intact: "
            "make room or choose another --out, and continue with --resume"
        ) from error


def _check_plain(value: Any, where: str) -> None:
    if type(value) in MAPPINGS:
        for key, item in value.items():
            _check_plain(key, where)
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in CONTAINERS:
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
    elif type(value) not in PLAIN:
        kind = f"{type(value).__module__}.{type(value).__name__}"
        raise TypeError(f"checkpoint: expected tensors and plain values, got {kind} at {where}")


def load(path: Path) -> dict[str, Any]:
    """Reads what `save` wrote, onto the CPU: `load_state_dict` takes it to where it belongs.

    Checksums are verified, and nothing but tensors and plain values is unpickled (`weights_only`).

    Raises:
        UsageError: the file is missing, unreadable, truncated, damaged, of another program or of a newer
            version.
    """
    foreign = f"{path}: not a checkpoint of sslfast, or damaged; give another, such as the one before it"
    try:
        # torch.load neither checks the checksums that torch.save writes nor minds a changed byte.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot read the checkpoint: {error.strerror or error}") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make the readers raise nearly anything
        raise UsageError(foreign) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UsageError(foreign)
    version, state = content.get("version"), content.get("state")
    if type(version) is not int:
        raise UsageError(foreign)
    if version != VERSION:
        raise UsageError(
            f"{path}: a checkpoint of version {version}, and this sslfast reads version {VERSION}: "
            "install the sslfast that wrote it"
        )
    if not isinstance(state, dict):
        raise UsageError(foreign)
    return state


def is_checkpoint(path: Path) -> bool:
    """Tells whether a file is one that `save` wrote, by the name of the format in it; nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            return any(FORMAT.encode() in archive.read(name) for name in parts)
    except (OSError, zipfile.BadZipFile):
        return False


class Checkpoints:
    """A run's checkpoints: last.pt, always whole and the newest, and the latest few as step-00000123.pt.

    The newest numbered file is the same file on the disk as last.pt, by a hard link.

    Args:
        folder: where they lie; the first save makes it.
        keep: how many numbered ones to keep; the newest is the same file as last.pt.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        self.last = folder / "last.pt"

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Writes the checkpoint of a step, then removes what is too old.

        Numbered files of later steps go too: a run that resumed from before them does these steps again.

        Raises:
            TrainingError: it cannot be written; the earlier ones are intact.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save(self.last, state)
            numbered = self.folder / f"step-{step:08d}.pt"
            numbered.unlink(missing_ok=True)
            try:
                os.link(self.last, numbered)
            except OSError:  # a file system without hard links
                save(numbered, state)
            keep = [path for path in self._numbered() if _step(path) <= step][: self.keep]
            unfinished = self.folder.glob("*.tmp")  # left by a save that was killed
            for path in (*unfinished, *set(self._numbered()).difference(keep)):
                path.unlink()
        except OSError as error:
            raise TrainingError(
                f"{error.filename or self.folder}: cannot write the checkpoint: {error.strerror}; what "
                "stands there is intact: make room or give permission, and continue with --resume"
            ) from error

    def latest_step(self) -> int | None:
        """Returns the step of the newest numbered file, by its name; None without one."""
        return max((_step(path) for path in self._numbered()), default=None)

    def latest(self) -> tuple[Path, dict[str, Any]] | None:
        """Loads the newest readable file: its name and state; warns of each that is not; None without a file.

        Raises:
            UsageError: there are files, and none can be read.
        """
        paths = self.files()
        for path in paths:
            try:
                return path, load(path)
            except UsageError as error:
                log.warning("%s", error)
        if paths:
            raise UsageError(f"{self.folder}: none of its {len(paths)} checkpoints can be read; start anew")
        return None

    def files(self) -> list[Path]:
        """Lists the files, newest first; they need not be whole."""
        return [path for path in (self.last, *self._numbered()) if path.exists()]

    def _numbered(self) -> list[Path]:
        """Lists the numbered checkpoints, newest first."""
        named = (path for path in self.folder.glob("step-*.pt") if path.stem.removeprefix("step-").isdecimal())
        return sorted(named, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))
