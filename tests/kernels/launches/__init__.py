"""The launches of the Triton kernels, which test_launches.py compiles ahead of time: one file an op."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Launches:
    """Every way in which an op's kernels are launched.

    Attributes:
        cases: `cases(arch)`: pairs of a word for messages and a case of aot.py.
        wgmma: how the words begin of those that have to multiply matrices by Hopper's instruction on sm_90.
        wide_offsets: whether offsets of rows have to be in 64 bits.
    """

    cases: Callable[[int], Iterator[tuple[str, dict[str, Any]]]]
    wgmma: str | tuple[str, ...] = ()
    wide_offsets: bool = False


def launches() -> dict[str, Launches]:
    """The ops' launches by the names of their files."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").LAUNCHES for name in names}
