"""From a run's directory to its method: the encoder with the heads and all else that it was trained with."""

from __future__ import annotations

from pathlib import Path

import torch

from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS, Method
from sslfast.recipes.load import from_stored
from sslfast.run.fits import check_bounds, check_kinds, check_like
from sslfast.weights.named import load_state


def load_method(run: Path) -> Method:
    """The method of a run, as the latest checkpoint has it, on the CPU and in evaluation mode.

    Leaves torch's generator as it was.

    Args:
        run: the run's directory, or a checkpoint.

    Raises:
        UsageError: there is no checkpoint, or its networks are not those of its recipe.
    """
    state = load_state(run)
    recipe = from_stored(state["config"], origin=str(run))
    data = recipe.data
    try:
        check_kinds(state, ("method", "images"))
        with torch.random.fork_rng(devices=[]):
            encoder = build_encoder(recipe.encoder, mean=data.mean, std=data.std, side=data.size)
            method = METHODS[recipe.method.name](recipe, encoder, state["images"])
        check_like(state["method"], method.state_dict(), "method")
        method.load_state_dict(state["method"])
        check_bounds(method, "method")
    except ValueError as error:
        raise UsageError(f"{run}: the checkpoint does not fit its recipe ({error}); give another") from error
    return method.eval()
