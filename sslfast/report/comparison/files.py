"""A comparison of runs as a page, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from sslfast.evaluation.seeds import Spread
from sslfast.report.comparison.curves import comparison_curves
from sslfast.report.comparison.evaluations import Group, grid, groups
from sslfast.report.comparison.grid import escaped
from sslfast.report.comparison.overview import overview, verdicts
from sslfast.report.comparison.run import ComparedRun
from sslfast.report.comparison.settings import different_settings, settings_grid
from sslfast.report.curves import series, shares
from sslfast.report.page import COLORS, aside, definitions, page, pair, paragraph, section, subheading

OVERVIEW = (
    "The loss is that of the last logged step, images/s the median of all, and training the time of the steps."
)
ALIKE = "All settings are the same."
NO_CURVES = "No run has logged anything yet."
NO_EVALUATIONS = "None of the runs was evaluated: `sslfast evaluate` leaves its results in a run."
EVALUATIONS = (
    "Labels judge the encoders; below an accuracy stands its 95% interval. Runs stand in one table where protocol "
    "and images are the same; a column names the settings in which the table's figures differ."
)


def to_html(runs: Sequence[ComparedRun]) -> str:
    """Writes the comparison as one file, which loads nothing."""
    settings, evaluated = settings_grid(different_settings(runs), runs), groups(runs)
    curves = list(comparison_curves(runs))
    few = [aside(f"Curves are drawn of the first {COLORS} runs; the tables have all {len(runs)}.")]
    tables = [
        part
        for group in evaluated
        for part in (subheading(group.title), grid(group, runs).html(), aside(group.caption))
    ]
    sections = [
        section(
            "Runs",
            overview(runs).html(),
            aside(OVERVIEW),
            definitions("facts", [(name, (" ".join(said), "")) for name, said in verdicts(runs)]),
        ),
        section("Settings that differ", settings.html() if settings.rows else paragraph(ALIKE)),
        section(
            "Training",
            *(few if len(runs) > COLORS else []),
            pair(*curves) if curves else paragraph(NO_CURVES),
        ),
        section("Evaluations", *([paragraph(EVALUATIONS), *tables] if tables else [paragraph(NO_EVALUATIONS)])),
    ]
    return page(_title(runs), ", ".join(run.name for run in runs), sections)


def to_markdown(runs: Sequence[ComparedRun]) -> str:
    """Writes the comparison as a Markdown file, without its curves."""
    settings, evaluated = settings_grid(different_settings(runs), runs), groups(runs)
    said = (f"- **{escaped(name)}**: {escaped(' '.join(sentences))}" for name, sentences in verdicts(runs))
    tables = [
        f"### {escaped(group.title)}\n\n{grid(group, runs).markdown()}\n\n{group.caption}" for group in evaluated
    ]
    parts = [
        f"# {_title(runs)}",
        overview(runs).markdown(),
        OVERVIEW,
        "\n".join(said),
        "## Settings that differ",
        settings.markdown() if settings.rows else ALIKE,
        "## Evaluations",
        *(tables or [NO_EVALUATIONS]),
    ]
    return "\n\n".join(parts) + "\n"


def to_csv(runs: Sequence[ComparedRun]) -> str:
    """Writes a line a run: the settings that differ, its last figures, and those of its evaluations as numbers.

    An accuracy is a share in [0, 1]; beside it stand the ends of its 95% interval, and where it is a mean over
    several seeds their standard deviation.
    """
    settings, evaluated = different_settings(runs), groups(runs)
    rows = [
        {
            "run": run.name,
            **{key: values[number] for key, values in settings.items()},
            **_last(run),
            **dict(_evaluated(number, evaluated)),
        }
        for number, run in enumerate(runs)
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _last(run: ComparedRun) -> dict[str, float | None]:
    """Returns the last value of each curve, and the epoch at which the curves end."""
    curves = {name: series(run.metrics, name)[1] for name in ("epoch", "loss", "lr", "images_per_second")}
    curves |= {name: shares(run.metrics, name)[1] for name in ("knn_top1", "knn_initial_top1")}
    return {name: values[-1] if values else None for name, values in curves.items()}


def _evaluated(number: int, evaluated: Sequence[Group]) -> Iterator[tuple[str, Any]]:
    """Yields the figures of a run's evaluations, by what they are."""
    for group in evaluated:
        for figure in (figure for figure in group.figures if figure.run == number):
            part = group.row(figure)
            name = ", ".join([group.title, group.column(figure), *([part] if part else [])])
            yield name, figure.number()
            if isinstance(figure.value, Spread):
                yield f"{name}, deviation", figure.value.deviation
            if (interval := figure.interval()) is not None:
                yield from zip((f"{name}, low", f"{name}, high"), interval, strict=True)


def _title(runs: Sequence[ComparedRun]) -> str:
    return f"{len(runs)} runs compared"
