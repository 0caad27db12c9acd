"""Every setting that a recipe has, and the methods and views that it may name, as help text by parts."""

from __future__ import annotations

from dataclasses import replace

from sslfast.config import Recipe, ViewConfig
from sslfast.config.help import entry_lines, first_sentence, name_lines
from sslfast.config.parts import Part, part, part_text
from sslfast.config.settings import fields
from sslfast.lazy import docstring
from sslfast.methods import METHODS
from sslfast.recipes.overview import METHOD, VIEWS
from sslfast.recipes.presets import PRESETS


def describe(name: str) -> str:
    """Describes the settings of a part of recipes, or one of them, as `part_text` finds them.

    Raises:
        UsageError: as `part_text`.
    """
    return part_text(_parts(), name)


def _parts() -> dict[str, Part]:
    """Describes the settings of all runs, then those of each method."""
    views = part("data.views", VIEWS, ViewConfig, "data.views.0.")
    parts = {
        section: part(section, info.annotation.__doc__, info.annotation, f"{section}.").without(views)
        for section, info in fields(Recipe).items()
        if section != "method"
    }
    parts["data.views"] = replace(views, title=[*views.title, *name_lines(PRESETS), ""])
    names = [line for name in METHODS for line in entry_lines(f"  {name}", describe_method(name))]
    parts["method"] = Part([*entry_lines("method", METHOD), *names], {})
    for name, method in METHODS.items():
        parts[f"method.{name}"] = part(f"method.name={name}", describe_method(name), method.Config, "method.")
    return parts


def describe_method(name: str) -> str:
    """Returns the first sentence that the file of a method says of it; of one that was registered, its class."""
    module = METHODS.modules.get(name)
    return first_sentence(docstring(module) if module else METHODS[name].__doc__ or "")
