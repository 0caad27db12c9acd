"""The recipes, and every setting that a recipe has, as help text."""

from __future__ import annotations

import sys

import sslfast.methods
from sslfast.config import Recipe
from sslfast.config.help import entry_lines, first_sentence, help_lines, name_lines
from sslfast.config.settings import fields
from sslfast.methods import METHODS, Method
from sslfast.recipes.load import PHOTOGRAPHS, recipes
from sslfast.recipes.presets import PRESETS


def describe() -> str:
    """The names of recipes and presets, and every setting of a recipe: of all runs first, then of each method."""
    lines = [
        f"recipes (a method's name alone is its recipe for {PHOTOGRAPHS}):",
        *name_lines(recipes()),
        "",
        "presets of data.views:",
        *name_lines(PRESETS),
        "",
        "settings, with their defaults:",
    ]
    for name, section in fields(Recipe).items():
        if name != "method":
            config = section.annotation
            lines += ["", *entry_lines(name, config.__doc__), *help_lines(config, f"{name}.")]
    for name, method in METHODS.items():
        lines += ["", *entry_lines(f"method.name={name}", describe_method(method))]
        lines += help_lines(method.Config, "method.")
    return "\n".join(lines)


def describe_method(method: type[Method]) -> str:
    """The first sentence that the file of a method says of it; of one that was registered, its class."""
    is_ours = method.__module__.startswith(sslfast.methods.__name__)
    return first_sentence((sys.modules[method.__module__] if is_ours else method).__doc__ or "")
