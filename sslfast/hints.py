"""Hints at the names that exist, for one that does not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MANY = 12  # names or faults; more are not listed in a message


def nearest(name: str, known: Iterable[str], where: str | None = None) -> str:
    """Suggests "; did you mean 'x'?" with the known name most like `name`; if none is alike, the `choices`.

    Args:
        name: what was typed.
        known: the names that exist.
        where: what lists them; None: nothing does.
    """
    names = list(known)
    if close := closest(name, names):
        return f"; did you mean {close!r}?"
    return choices(names, where)


def choices(known: Iterable[str], where: str | None = None) -> str:
    """Says "; choose from x, y" with all known names; of more than 12 their number and what lists them."""
    names = list(known)
    if len(names) <= MANY:
        return f"; choose from {', '.join(names)}"
    return f"; {where} lists the {len(names)} that there are" if where else f"; there are {len(names)} others"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Finds the known name most like `name`, whatever the case and the kind of dash; None where none is alike."""
    plain = {other.lower().replace("-", "_"): other for other in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), plain, n=1)
    return plain[close[0]] if close else None
