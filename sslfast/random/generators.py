"""The states of all random generators, to be seeded, saved and restored together.

Every rank's are in the same state at every step: they sample for the batch of all ranks, and each rank takes its
part. So rank 0's state is all ranks', for any number of them.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from sslfast.distributed import world_size


def seed_everything(seed: int) -> None:
    """Seeds the generators of Python, NumPy, torch and every CUDA device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def rng_state() -> dict[str, Any]:
    """Returns the states of the generators of Python, NumPy, torch and CUDA devices: tensors, plain values."""
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002
    key, position = numpy["state"]["key"], numpy["state"]["pos"]
    return {
        "python": random.getstate(),
        "numpy": {**numpy, "state": {"key": torch.from_numpy(key.astype(np.int64)), "pos": position}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Restores the states that `rng_state` returned; CUDA devices that only one side has are passed over.

    Of several processes each has one device, which takes the state of rank 0's, its first.

    Raises:
        ValueError: a generator refuses its state; NumPy's trusts its own, see `sslfast.run.fits.check_rng`.
    """
    numpy = state["numpy"]
    key, position = numpy["state"]["key"], numpy["state"]["pos"]
    cuda_states = state["cuda"] if world_size() == 1 else state["cuda"][:1] * torch.cuda.device_count()
    try:
        random.setstate(state["python"])
        np.random.set_state({**numpy, "state": {"key": key.numpy(), "pos": position}})  # noqa: NPY002
        torch.set_rng_state(state["torch"])
        for index, cuda in zip(range(torch.cuda.device_count()), cuda_states, strict=False):
            torch.cuda.set_rng_state(cuda, index)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise ValueError(f"rng: not the state of a generator: {error}") from error
