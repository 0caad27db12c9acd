"""Recipes: YAML files that say what a run is to be, found by name, with a person's settings over them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

import yaml
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from sslfast.config import Recipe
from sslfast.config.fields import STRICT
from sslfast.config.settings import apply_overrides, fields, listed, nearest, validate
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.presets import PRESETS

PHOTOGRAPHS = "imagenette"  # the folder of the recipes that a method's bare name stands for

if TYPE_CHECKING:
    AnyMethod = Any  # a type checker cannot read a union that is made when the module is imported
else:
    AnyMethod = Annotated[
        Union[tuple(method.Config for method in METHODS.values())],  # noqa: UP007
        Field(discriminator="name"),
    ]


@dataclass(config=STRICT)
class AnyRecipe(Recipe[Any]):
    """The recipe of any method: `method.name` chooses whose settings `method` holds."""

    method: AnyMethod


def recipes() -> dict[str, Path]:
    """The recipes that come with the package: cifar10/moco_v2.yaml is "moco_v2_cifar10"."""
    folder = Path(str(resources.files("sslfast"))) / "recipes"
    return {f"{path.stem}_{path.parent.name}": path for path in sorted(folder.glob("*/*.yaml"))}


def load_recipe(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe with overrides applied.

    Args:
        recipe: the name of a recipe of the package, that of a method, for its recipe for photographs at 128
            pixels, or the path of a YAML file.
        overrides: "key.sub=value"; the value is read as YAML, a number as a key indexes a list.

    Raises:
        UsageError: no such recipe, unreadable YAML, an unknown key, or a value of the wrong type or range.
    """
    known = recipes()
    path = known.get(recipe) or known.get(f"{recipe}_{PHOTOGRAPHS}") or Path(recipe)
    if not path.is_file():
        raise UsageError(f"recipe {recipe!r}: no such recipe or file{nearest(recipe, known)}")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"recipe {path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"recipe {path}: expected a mapping, got {type(values).__name__}")
    for override in overrides:  # one by one, so that a view of a preset can be changed by those after it
        values = apply_overrides(AnyRecipe, _with_listed_views(values), [override])
    return from_dict(values, origin=f"recipe {recipe}")


def from_dict(values: dict[str, Any], origin: str = "config") -> Recipe:
    """A validated Recipe out of plain values, the inverse of `to_dict`; see `settings.validate`."""
    return validate(AnyRecipe, _with_listed_views(values), origin)


def _with_listed_views(values: dict[str, Any]) -> dict[str, Any]:
    """`values` with the views of a preset in place of its name.

    Raises:
        UsageError: there is no such preset.
    """
    data = values.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("views"), str):
        return values
    name = data["views"]
    if name not in PRESETS:
        raise UsageError(f"data.views: no preset {name!r}{nearest(name, PRESETS)}")
    return {**values, "data": {**data, "views": [dict(view) for view in PRESETS[name]]}}


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values that YAML can hold."""
    return TypeAdapter(type(recipe)).dump_python(recipe, mode="json")


def to_yaml(recipe: Recipe) -> str:
    """The recipe as a YAML file holds it."""
    return yaml.safe_dump(to_dict(recipe), sort_keys=False)


def describe() -> str:
    """One line a setting of a recipe: key=default, and what it means; the settings of each method apart."""
    lines = []
    for name, method in METHODS.items():
        lines += [f"method.name={name}", *listed(method.Config, "method.")]
    for name, section in fields(Recipe).items():
        if name != "method":
            lines += [name, *listed(section.annotation, f"{name}.")]
    return "\n".join(lines)
