"""The settings in which runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from sslfast.config import Recipe, ViewConfig
from sslfast.config.settings import flat
from sslfast.errors import printable
from sslfast.recipes.load import to_dict
from sslfast.report.comparison.grid import NOTHING, Grid
from sslfast.report.comparison.run import ComparedRun


def different_settings(runs: Sequence[ComparedRun]) -> dict[str, list[str | None]]:
    """Finds the settings in which the runs are not all alike, by their whole keys: "data.views.1.blur".

    A view that not all of them have is one setting, "data.views.2": what it has otherwise than the default view.

    Returns:
        For each key the runs' values as text, in their order; None where a run has no such setting.
    """
    shared_views = min(len(run.recipe.data.views) for run in runs)
    settings = [dict(_settings(run.recipe, shared_views)) for run in runs]
    sections = list(to_dict(runs[0].recipe))
    keys = sorted(
        dict.fromkeys(key for each in settings for key in each),
        key=lambda key: sections.index(key.partition(".")[0]),
    )
    rows = {key: [each.get(key) for each in settings] for key in keys}
    return {key: values for key, values in rows.items() if len({*values}) > 1}


def settings_grid(settings: Mapping[str, Sequence[str | None]], runs: Sequence[ComparedRun]) -> Grid:
    """Makes a row for each of the `different_settings`, a column for each run."""
    rows = [
        [(key, ""), *(NOTHING if value is None else (value, "") for value in values)]
        for key, values in settings.items()
    ]
    return Grid(["setting", *(run.name for run in runs)], rows)


def _settings(recipe: Recipe, shared_views: int) -> Iterator[tuple[str, str]]:
    values = to_dict(recipe)
    views = values["data"]["views"]
    values["data"]["views"] = views[:shared_views] + [_view(view) for view in views[shared_views:]]
    for key, value in flat(values):
        yield key, _shown(value)


def _view(view: dict[str, Any]) -> str:
    default = TypeAdapter(ViewConfig).dump_python(ViewConfig(), mode="json")
    other = {key: value for key, value in view.items() if value != default[key]}
    return " ".join(f"{key}={_shown(value)}" for key, value in other.items()) or "the default view"


def _shown(value: Any) -> str:
    """Shows a value as an override on the command line has it, `printable`."""
    return printable(value) if isinstance(value, str) else json.dumps(value)
