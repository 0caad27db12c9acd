"""tqdm's progress bars, in a terminal and in a notebook."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import auto


class tqdm(auto.tqdm):
    """A bar of tqdm that with disable=None, the default, is shown in a terminal or a notebook, and else is not.

    tqdm itself takes a notebook for a file.
    """

    def __init__(self, *args: Any, disable: bool | None = None, **kwargs: Any) -> None:
        shown = is_shown() if disable is None else not disable
        super().__init__(*args, disable=not shown, **kwargs)  # type: ignore[call-overload]  # any of its forms


def trange(*args: int, **kwargs: Any) -> tqdm:
    """Shows a bar over `range(*args)`."""
    return tqdm(range(*args), **kwargs)


def is_shown() -> bool:
    """Tells whether somebody sees a bar: standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Tells whether the code runs in a kernel of Jupyter, as IPython tells it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config
