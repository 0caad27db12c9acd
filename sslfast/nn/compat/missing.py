"""What an import that is not there is told."""

from collections.abc import Sequence
from typing import NoReturn

from sslfast.hints import choices, closest

SUFFIX = "Loss"  # of nearly all names, and so no sign of what was meant


def refuse(module: str, name: str, names: Sequence[str], original: str) -> NoReturn:
    """Raises what a module's `__getattr__` has for a name that it does not find.

    Args:
        module: the module's name.
        name: what is looked for.
        names: the classes that the module has.
        original: the module whose classes they take the place of.

    Raises:
        ImportError: the name of a class; of an AttributeError `from ... import` would show nothing.
        AttributeError: any other name.
    """
    if name[:1].isupper():
        stems = {each.removesuffix(SUFFIX): each for each in names}
        close = closest(name.removesuffix(SUFFIX), stems)
        hint = f"; did you mean {stems[close]!r}?" if close else choices(names, f"{module}.__all__")
        raise ImportError(f"{module} has no {name}, keep {original}.{name}{hint}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
