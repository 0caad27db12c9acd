"""The launches of the Triton kernels, which test_launches.py compiles ahead of time: one file an op."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.kernels.compiled import assert_compiles


@dataclass(frozen=True)
class Launches:
    """Every way in which an op's kernels are launched.

    Attributes:
        cases: `cases(arch)`: pairs of a word for messages and a case of aot.py.
        wgmma: how the words begin of those that have to multiply matrices by Hopper's instruction on sm_90.
        streams: how the words begin of those that have to copy the next tile while they work on one.
        specialized: how the words begin of those in which warps of their own have to copy tiles by TMA.
        wide: how the words begin of those that have to load their matrices by 16 bytes a thread.
        wide_offsets: whether offsets of rows have to be in 64 bits.
    """

    cases: Callable[[int], Iterator[tuple[str, dict[str, Any]]]]
    wgmma: str | tuple[str, ...] = ()
    streams: str | tuple[str, ...] = ()
    specialized: str | tuple[str, ...] = ()
    wide: str | tuple[str, ...] = ()
    wide_offsets: bool = False

    def compile(self, arch: int) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Compiles all for an architecture and asserts what their code has to be; see `assert_compiles`.

        Returns:
            The word, the case, and what aot.py says of it, for each.
        """
        cases = list(self.cases(arch))
        resources = assert_compiles(
            cases,
            wgmma=self.wgmma,
            streams=self.streams,
            specialized=self.specialized,
            wide=self.wide,
            wide_offsets=self.wide_offsets,
        )
        return [(name, case, used) for (name, case), used in zip(cases, resources, strict=True)]


def launches() -> dict[str, Launches]:
    """Loads the ops' launches by the names of their files."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}").LAUNCHES for name in names}
