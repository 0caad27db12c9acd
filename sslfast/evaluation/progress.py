"""The progress of a training of an evaluation: a file that is written on the way, and from which it goes on."""

from __future__ import annotations

import logging
from pathlib import Path
from textwrap import shorten

from torch import nn
from torch.optim import Optimizer

from sslfast.errors import UsageError
from sslfast.run import checkpoint

log = logging.getLogger(__name__)

PROGRESS = ".progress.pt"  # the end of the file's name


def save_progress(file: Path, network: nn.Module, optimizer: Optimizer, done: int) -> None:
    """Writes what is trained so far, after so many steps or epochs; makes the folder.

    Raises:
        TrainingError: the file cannot be written.
    """
    state = {"done": done, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
    file.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(file, state)


def restore_progress(file: Path, network: nn.Module, optimizer: Optimizer, unit: str) -> int:
    """Restores what `save_progress` wrote; returns the number of `unit`s that are done, 0 without a file.

    Raises:
        UsageError: the file is damaged, or of another training.
    """
    if not file.exists():
        return 0
    state = checkpoint.load(file)
    try:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        done = int(state["done"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = shorten(str(error), 200)
        raise UsageError(f"{file}: not of this training ({reason}); remove it to begin anew") from error
    log.info("%s: goes on after %s %d", file, unit, done)
    return done
