"""Recipes: YAML files that say what a run is to be, found by name, with a person's settings over them."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, cast

import yaml
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from sslfast.config import Recipe
from sslfast.config.fields import STRICT
from sslfast.config.paths import existing_path, user_path
from sslfast.config.plain_yaml import read_yaml
from sslfast.config.settings import Overrides, apply_overrides, settings_of, shown
from sslfast.config.validation import validate
from sslfast.data.sources.names import Names, one_or_list
from sslfast.device import PrecisionName, choose_precision, device_type
from sslfast.errors import UsageError
from sslfast.hints import nearest
from sslfast.methods import METHODS
from sslfast.recipes import families
from sslfast.recipes.files import FOLDER, PHOTOGRAPHS, recipes
from sslfast.recipes.presets import PRESETS

HELP = "sslfast pretrain --help"


def recipe_schema() -> type[Recipe]:
    """Makes the recipe of any method that is known now: `method.name` chooses whose settings `method` holds."""
    return _schema_of(tuple(method.Config for method in METHODS.values()))


@cache
def _schema_of(configs: tuple[type[Any], ...]) -> type[Recipe]:
    method = Annotated[Union[configs], Field(discriminator="name")]  # type: ignore[valid-type]  # noqa: UP007
    schema = type("AnyRecipe", (Recipe,), {"__annotations__": {"method": method}, "__module__": __name__})
    return cast(type[Recipe], dataclass(config=STRICT)(schema))


def load_recipe(recipe: Recipe | str | Path, overrides: Overrides = (), *, data: Names | None = None) -> Recipe:
    """Loads a recipe with overrides applied.

    Args:
        recipe: the name of a recipe of the package, that of a method, for its recipe for photographs at 128
            pixels, the path of a YAML file, or a recipe that is loaded already.
        overrides: "key.sub=value", whose value is read as YAML, or a mapping, {"key": {"sub": value}} or
            {"key.sub": value}; a number as a key indexes a list.
        data: the images, in place of the recipe's `data.source`, a list of several; None: those of the recipe.

    Raises:
        UsageError: no such recipe, unreadable YAML, an unknown key, or a value of the wrong type or range.
    """
    settings = settings_of(overrides)
    if data is not None:
        settings.append(("data.source", one_or_list(data)))
    if isinstance(recipe, Recipe):
        if not settings:
            return recipe
        values, origin = to_dict(recipe), "recipe"
    else:
        values, origin = _read(str(recipe)), f"recipe {recipe}"
    return from_dict(_changed(values, settings), origin)


def _changed(values: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Applies overrides to values, one by one, so that a view of a preset can be changed by those after it."""
    for setting in settings_of(overrides):
        values = apply_overrides(recipe_schema(), _with_preset_views(values), [setting])
    return values


def _read(recipe: str) -> dict[str, Any]:
    """Reads the values of a recipe's file, found as `load_recipe` says, or the defaults of a method without."""
    if member := families.members(FOLDER).get(recipe):
        return member.values()
    known = recipes()
    path = known.get(recipe) or known.get(f"{recipe}_{PHOTOGRAPHS}")
    if path is None and (os.sep in recipe or recipe.endswith((".yaml", ".yml"))):
        path = existing_path(recipe)
    if path is None and recipe in METHODS:
        return _changed({"method": {"name": recipe}}, METHODS[recipe].defaults)
    path = path or user_path(recipe)
    if not path.is_file():
        hint = nearest(recipe, [*METHODS, *known], "`sslfast list`")
        raise UsageError(f"recipe {recipe!r}: no such recipe or file{hint}")
    try:
        values = read_yaml(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError) as error:
        raise UsageError(f"recipe {path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"recipe {path}: expected a mapping, got {type(values).__name__}")
    return values


def from_dict(values: dict[str, Any], origin: str = "recipe") -> Recipe:
    """Makes a validated recipe out of plain values: the inverse of `to_dict`.

    Args:
        values: as a recipe's YAML file holds them.
        origin: where they came from, for error messages.

    Raises:
        UsageError: an unknown key, or a value of the wrong type or range.
    """
    if isinstance(method := values.get("method"), str):
        hint = nearest(method, METHODS, "`sslfast list`")
        if method in METHODS:
            hint = f"; run the recipe {method!r} instead, or set method.name={method}"
        raise UsageError(f"{origin}: method: is a group of settings, got {shown(method)}{hint}")
    return validate(recipe_schema(), _with_preset_views(values), origin, HELP)


def from_stored(values: dict[str, Any], origin: str) -> Recipe:
    """Reads the recipe of a run on disk, as `from_dict` reads it; also that of an earlier version.

    DenseCL, LEWEL_M and PCL once had all settings of MoCo v1, two of which could only be what they do anyway. A
    run that was stored with train.precision=auto is of a version to which that was fp32 on every CPU.

    Args:
        values: as config.yaml or a checkpoint holds them.
        origin: the file, for error messages.

    Raises:
        UsageError: as `from_dict`.
    """
    method = values.get("method")
    name = method.get("name") if isinstance(method, dict) else None
    if isinstance(name, str) and name not in METHODS:
        raise UsageError(
            f"{origin}: method.name: no method {shown(name)}{nearest(name, METHODS, '`sslfast list`')}; one of "
            "your own is to be registered first, from Python, by sslfast.register_method"
        )
    if isinstance(method, dict) and name in ("densecl", "lewel_m", "pcl"):
        method = {key: value for key, value in method.items() if key not in ("negatives", "bank_momentum")}
        values = {**values, "method": method}
    recipe = from_dict(values, origin)
    return with_precision(recipe, "bf16" if device_type(recipe.train.device) == "cuda" else "fp32")


def with_precision(recipe: Recipe, precision: PrecisionName | None = None) -> Recipe:
    """Returns the recipe with a precision where it leaves it open: this one, or the best of its device here."""
    train = recipe.train
    if train.precision != "auto":
        return recipe
    chosen = choose_precision(precision or "auto", device_type(train.device))
    return replace(recipe, train=replace(train, precision=chosen))


def _with_preset_views(values: dict[str, Any]) -> dict[str, Any]:
    """Returns `values` with the views of the preset that they name in place of its name.

    Raises:
        UsageError: there is no such preset.
    """
    data = values.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("views"), str):
        return values
    return {**values, "data": {**data, "views": preset(data["views"], "data.views")}}


def preset(name: str, origin: str) -> list[dict[str, Any]]:
    """Returns the settings of the views of a preset; `origin` says in an error where its name came from.

    Raises:
        UsageError: there is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(f"{origin}: no preset {shown(name)}{nearest(name, PRESETS, f'`{HELP} data.views`')}")
    return [dict(view) for view in PRESETS[name]]


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Converts the recipe to plain values that YAML can hold."""
    return TypeAdapter(type(recipe)).dump_python(recipe, mode="json")


def to_yaml(recipe: Recipe) -> str:
    """Writes the recipe as a YAML file holds it."""
    return yaml.safe_dump(to_dict(recipe), sort_keys=False)
