"""The parts of a recipe's settings, a line each, for which nobody waits: torch is not imported."""

from __future__ import annotations

from sslfast.config import Recipe
from sslfast.config.parts import overview
from sslfast.config.settings import fields

VIEWS = "The settings of a view, and the names of views by which data.views may be set."
METHOD = "The methods; method.swav: the settings of SwAV, and so of each."


def recipe_overview() -> str:
    """Lists the parts of a recipe's settings, in the order of `Recipe`, with a meaning each."""
    meanings = {}
    for name, info in fields(Recipe).items():
        meanings[name] = METHOD if name == "method" else info.annotation.__doc__
        if name == "data":
            meanings["data.views"] = VIEWS
    return overview(meanings)
