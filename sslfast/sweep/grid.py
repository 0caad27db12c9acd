"""The cells of a sweep: what is to be run, by a recipe and lists of values, or by a file of these."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field, replace
from typing import Any

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, Count
from sslfast.config.paths import existing_path
from sslfast.config.plain_yaml import read_yaml
from sslfast.config.validation import validate
from sslfast.errors import UsageError
from sslfast.hints import nearest
from sslfast.recipes.files import ablations
from sslfast.recipes.load import load_recipe

DEFAULT = "default"  # the row of a sweep without lists


@dataclass(config=STRICT)
class Sweep:
    """A sweep over a recipe, as a YAML file holds it; its rows are each combination of `rows` and `grid`."""

    recipe: str
    """The recipe of the rows that name no other."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of all runs, by their whole keys, "train.epochs", unless a row has others."""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of named rows; `recipe` among them is a row's recipe."""
    grid: dict[str, list[Any]] = field(default_factory=dict)
    """Lists of values by the settings' whole keys; every combination is a row."""
    seeds: Count = 1
    """Number of seeds, from 0 on, of each row."""
    evaluate: str = "linear"
    """Protocol that judges the runs, and its settings: "linear protocol=mncl"."""


@plain_dataclass(frozen=True)
class Cell:
    """A run of a sweep.

    Attributes:
        row: the row of the table that it belongs to.
        seed: its seed.
        recipe: the name of its recipe, or the recipe's file.
        overrides: its "key.sub=value" settings, the seed among them.
    """

    row: str
    seed: int
    recipe: str
    overrides: tuple[str, ...]

    @property
    def name(self) -> str:
        """Names the cell's directory, of letters, digits and the signs "_", "." and "-"."""
        return re.sub(r"[^\w.]", "-", f"{self.row}-seed{self.seed}")


def read_sweep(
    name: str | Sweep, overrides: Sequence[str] = (), *, seeds: int | None = None, evaluate: str | None = None
) -> Sweep:
    """Reads the sweep of a name, with a person's settings over it.

    Args:
        name: an ablation of the package, the YAML file of a sweep, a recipe as `load_recipe` takes it, or a sweep.
        overrides: "key.sub=value" settings of all runs; "key.sub=[a,b]" is a list of the grid, unless the setting
            itself is such a list.
        seeds, evaluate: in place of the sweep's; None: those.

    Raises:
        UsageError: no such sweep or recipe, or a setting that is none.
    """
    sweep = _read(name) if isinstance(name, str) else name
    settings, grid = dict(sweep.settings), dict(sweep.grid)
    for override in overrides:
        key, value = _parsed(override)
        settings.pop(key, None)
        grid.pop(key, None)
        if isinstance(value, list) and not _is_valid(sweep.recipe, override):
            grid[key] = value
        else:
            settings[key] = value
    return replace(
        sweep,
        settings=settings,
        grid=grid,
        seeds=seeds or sweep.seeds,
        evaluate=evaluate or sweep.evaluate,
    )


def _read(name: str) -> Sweep:
    """Reads the sweep of a name, as it stands there."""
    path = ablations().get(name)
    if path is None and (os.sep in name or name.endswith((".yaml", ".yml"))):
        path = existing_path(name)
    if path is None:
        try:
            load_recipe(name)
        except UsageError as error:
            hint = nearest(name, ablations(), "`sslfast list`")
            raise UsageError(f"{error}; nor is it an ablation{hint}") from error
        return Sweep(recipe=name)
    try:
        values = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"sweep {path}: not YAML: {' '.join(str(error).split())}") from error
    if isinstance(values, dict) and "method" in values:
        return Sweep(recipe=name)
    return validate(Sweep, values, f"sweep {path}")


def _parsed(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UsageError(f"{override!r}: expected key.sub=value or 'key.sub=[a,b,c]'")
    try:
        return key, read_yaml(text)
    except ValueError as error:
        raise UsageError(f"{override!r}: the value is not YAML: {error}") from error


def _is_valid(recipe: str, override: str) -> bool:
    try:
        load_recipe(recipe, [override])
    except UsageError:
        return False
    return True


def cells(sweep: Sweep) -> list[Cell]:
    """Lists the runs of a sweep: of each row the first seed, then of each the second, and so on.

    Raises:
        UsageError: an empty list, or two rows whose directories would have one name.
    """
    if empty := [key for key, values in sweep.grid.items() if not values]:
        raise UsageError(f"{empty[0]}=[]: expected at least one value")
    rows = list(_rows(sweep))
    found = [
        Cell(row, seed, recipe, (*_overrides(settings), f"train.seed={seed}"))
        for seed in range(sweep.seeds)
        for row, recipe, settings in rows
    ]
    by_name: dict[str, Cell] = {}
    for cell in found:
        other = by_name.setdefault(cell.name, cell)
        if other is not cell:
            raise UsageError(
                f"sweep: the rows {other.row!r} and {cell.row!r} would have one directory, {cell.name}; name them "
                "in a file's `rows`"
            )
    return found


def _rows(sweep: Sweep) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the rows' names, recipes and settings."""
    for name, own in (sweep.rows or {"": {}}).items():
        settings = {**sweep.settings, **own}
        recipe = str(settings.pop("recipe", sweep.recipe))
        for values in itertools.product(*sweep.grid.values()):
            chosen = dict(zip(sweep.grid, values, strict=True))
            label = " ".join([*filter(None, [name]), *_overrides(chosen)])
            yield label or DEFAULT, recipe, {**settings, **chosen}


def _overrides(settings: Mapping[str, Any]) -> list[str]:
    """Writes settings as a command line has them: a word as it is, all else as JSON, which is YAML."""
    return [f"{key}={value if _is_word(value) else json.dumps(value)}" for key, value in settings.items()]


def _is_word(value: Any) -> bool:
    """Tells whether a value is a text that YAML reads as itself."""
    return isinstance(value, str) and bool(re.fullmatch(r"[\w./-]+", value)) and read_yaml(value) == value
