"""From a run's directory to its method: the encoder with the heads and all else that it was trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS, Method
from sslfast.recipes.load import from_stored
from sslfast.run.checkpoint import Checkpoints, load
from sslfast.run.fits import check_bounds, check_kinds, check_like


def load_method(run: Path) -> Method:
    """Loads the method of a run, as the latest checkpoint has it, on the CPU and in evaluation mode.

    Leaves torch's generator as it was.

    Args:
        run: the run's directory, or a checkpoint.

    Raises:
        UsageError: there is no checkpoint, or its networks are not those of its recipe.
    """
    return _method_in(load_state(run), run)


def momentum_encoder(state: dict[str, Any], run: Path) -> Encoder:
    """Loads the encoder of the network that follows the trained one as a moving average.

    Args:
        state: as `load_state` returns it.
        run: where it is from, for error messages.

    Raises:
        UsageError: the method has no such network, or as `load_method`.
    """
    method = _method_in(state, run)
    momentum_copy = method.momentum_copy()
    encoder = None if momentum_copy is None else momentum_copy.follower_of(method.encoder)
    if encoder is None:
        raise UsageError(
            f"{run}: {method.config.name}, as its recipe has it, keeps no moving average of the encoder; leave "
            "out @momentum"
        )
    return encoder


def _method_in(state: dict[str, Any], run: Path) -> Method:
    """Loads the method in a checkpoint's state."""
    recipe = from_stored(state["config"], origin=str(run))
    data = recipe.data
    try:
        check_kinds(state, ("method", "images"))
        with torch.random.fork_rng(devices=[]):
            encoder = build_encoder(recipe.encoder, data.channels, mean=data.mean, std=data.std, side=data.size)
            method = METHODS[recipe.method.name](recipe, encoder, state["images"])
        check_like(state["method"], method.state_dict(), "method")
        method.load_state_dict(state["method"])
        check_bounds(method, "method")
    except ValueError as error:
        raise UsageError(f"{run}: the checkpoint does not fit its recipe ({error}); give another") from error
    return method.eval()


def load_state(path: Path) -> dict[str, Any]:
    """Loads the state in a checkpoint, or in the newest of a run's directory, with a method and a configuration.

    Raises:
        UsageError: there is no checkpoint, it cannot be read, or it lacks these.
    """
    if path.is_dir():
        checkpoints = path / "checkpoints"
        latest = Checkpoints(checkpoints, keep=0).latest() if checkpoints.is_dir() else None
        if latest is None:
            raise UsageError(f"{path}: holds no checkpoint; give a run's directory or a checkpoint's file")
        path, state = latest
    else:
        state = load(path)
    if not {"config", "method"} <= state.keys():
        raise UsageError(f"{path}: a checkpoint without an encoder; give one that `sslfast pretrain` wrote")
    try:
        check_kinds(state, ("config", "method"))
    except ValueError as error:
        raise UsageError(f"{path}: {error}; give another checkpoint") from error
    return state
