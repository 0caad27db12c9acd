"""The CUDA C++ kernels of csrc/cuda/ on the emulator, for tests without a GPU: `impl="cuda"` takes CPU tensors."""

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sslfast.kernels.common import op as lib
from tests.kernels.emulator import build

# Sanitizers with which the kernels are built: see sanitize.py.
SANITIZE = os.environ.get("EMULATOR_SANITIZE", "")


class Emulator:
    """A library that `build.cuda_kernels` made, and the GPU that it imitates.

    Attributes:
        library: its functions, for ctypes.
    """

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))

    def configure(
        self,
        *,
        seed: int = 0,
        processors: int = 4,
        shared_bytes: int = 232_448,
        blocks_per_processor: int = 2,
        usable_processors: int | None = None,
        cooperative: bool = True,
    ) -> None:
        """Sets all properties of the GPU.

        Args:
            seed: of the order in which threads run; 0: ascending.
            processors: its multiprocessors.
            shared_bytes: shared memory that a block may ask for.
            blocks_per_processor: blocks that run on a multiprocessor at the same time, at the most.
            usable_processors: those of them on which this process's blocks run, as in a part of a GPU; None: all.
            cooperative: whether it has cooperative launches.
        """
        usable = processors if usable_processors is None else usable_processors
        self.library.emulator_configure(seed, processors, shared_bytes, blocks_per_processor, usable, cooperative)

    def after_grant(self, call: Callable[[], object]) -> None:
        """Calls a function once, where the host's code has next set a kernel's limit of dynamic shared memory."""
        self._after_grant = ctypes.CFUNCTYPE(None)(call)  # kept alive
        self.library.emulator_after_grant(self._after_grant)


def skip_where_there_is_none() -> None:
    """Skips a test where no emulator can be built, or where a GPU needs none."""
    if torch.cuda.is_available():
        pytest.skip("the emulator stands in for a GPU, and there is one")
    if reason := build.missing():
        pytest.skip(reason)


def load() -> Emulator:
    """Builds the kernels and registers them for CPU tensors in this process."""
    skip_where_there_is_none()
    path = build.cuda_kernels(build.sources("cuda"), sanitize=SANITIZE)
    torch.ops.load_library(path)
    return Emulator(path)


def take_cpu_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `impl="cuda"` run on CPU tensors, and `auto` as it would without."""
    original = lib.Op.why_not

    @functools.wraps(original)
    def why_not(self, impl, device, dtype=None):
        return original(self, impl, "cuda" if impl == "cuda" and device == "cpu" else device, dtype)

    monkeypatch.setattr(lib.Op, "why_not", why_not)
    monkeypatch.setitem(lib.MISSING, "cuda", None)
