"""The head of a report: the latest figures of a run, and when, where and how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from itertools import pairwise

from sslfast.config import Recipe
from sslfast.data.sources.names import joined
from sslfast.evaluation.interval import wilson_interval
from sslfast.report.curves import Metrics, is_finite, series, shares
from sslfast.report.numbers import accuracy, duration
from sslfast.report.page import Cell, definitions, paragraph, warning
from sslfast.run.backbone import initial_name
from sslfast.run.environment import Start
from sslfast.run.summary import Fault


def lead(recipe: Recipe) -> str:
    """Names the method, the encoder and the images of a run, in a line."""
    return (
        f"{recipe.method.name}, {recipe.encoder.name}, {joined(recipe.data.source)} at {recipe.data.size} pixels"
    )


def summary(
    recipe: Recipe, metrics: Metrics, starts: Sequence[Start], held_out_images: int, faults: Sequence[Fault] = ()
) -> Iterator[str]:
    """Yields the latest figures of a run, what they mean, the signs that it has learned nothing, and its facts."""
    yield definitions("figures", figures(recipe, metrics, held_out_images))
    for fault in faults:
        yield warning(sentence(fault.message))
    if any(shares(metrics, "knn_top1")):
        yield paragraph(verdict(metrics, held_out_images, initial_name(recipe.encoder)))
    yield definitions("facts", _facts(recipe, metrics, starts))


def sentence(text: str) -> str:
    """Makes a sentence of a text: it begins with a capital and ends with a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


def figures(recipe: Recipe, metrics: Metrics, held_out_images: int) -> Iterator[tuple[str, Cell]]:
    """Yields the latest figures of a run by what they are."""
    epoch = max((line["epoch"] for line in metrics if is_finite(line["epoch"])), default=0)
    state = "complete" if epoch >= recipe.train.epochs else "not finished; goes on with --resume"
    yield "epochs", (f"{epoch:.4g} of {recipe.train.epochs}", state)
    for name, label in (("knn_top1", "kNN top-1"), ("knn_initial_top1", f"kNN, {initial_name(recipe.encoder)}")):
        for value in shares(metrics, name)[1][-1:]:
            yield label, accuracy(value, held_out_images)
    for value in series(metrics, "loss")[1][-1:]:
        yield "loss", (f"{value:.3f}", "at the last logged step")


def verdict(metrics: Metrics, held_out_images: int, initial: str) -> str:
    """Says what the last kNN accuracy says beside that of the initial weights, which are called so."""
    trained, before = (shares(metrics, name)[1][-1:] for name in ("knn_top1", "knn_initial_top1"))
    if not before or not held_out_images:
        return f"An accuracy by itself says little: compare it with that of {initial}."
    (low, high), (low_before, high_before) = (wilson_interval(x[0], held_out_images) for x in (trained, before))
    points = 100 * (trained[0] - before[0])
    side = "above" if points >= 0 else "below"
    difference = f"kNN is {abs(points):.1f} points {side} {initial}, on {held_out_images:,} held-out images"
    if low > high_before:
        return f"{difference}; their 95% intervals do not overlap: the network has learned."
    if high < low_before:
        return f"{difference}; their 95% intervals do not overlap: the features are worse than before training."
    return f"{difference}; their 95% intervals overlap: so few images cannot tell whether it has learned."


def training_seconds(recipe: Recipe, metrics: Metrics) -> float:
    """Computes the time that the steps took, by the logged rates; evaluations and pauses apart."""
    seconds, before = 0.0, 0.0
    for line in metrics:
        step, rate = line["step"], line.get("images_per_second")
        if is_finite(step) and is_finite(rate) and rate > 0:
            seconds += (step - before) * recipe.data.batch_size / rate
            before = step
    return seconds


def _facts(recipe: Recipe, metrics: Metrics, starts: Sequence[Start]) -> Iterator[tuple[str, Cell]]:
    if starts:
        yield "started", (_date(starts[0].date), "")
    for before, start in pairwise(starts):
        extended = (
            f", extended to {start.epochs} epochs" if before.epochs and start.epochs != before.epochs else ""
        )
        yield "resumed", (_date(start.date), f"at step {start.step:,}{extended}")
    if seconds := training_seconds(recipe, metrics):
        yield "training", (duration(seconds), "of steps; evaluations and pauses apart")
    if starts:
        held_out = f"{starts[-1].held_out_images:,}" if starts[-1].held_out_images else "none"
        yield "images", (f"{starts[-1].train_images:,} trained on, {held_out} held out", "")
        yield "hardware", ("; ".join(dict.fromkeys(map(_hardware, starts))), "")
        yield "versions", ("; ".join(dict.fromkeys(map(_versions, starts))), "")
    else:
        yield "machine", ("date, hardware and versions were not recorded", "by the sslfast that made the run")
    if skipped := max(series(metrics, "skipped_steps")[1], default=0):
        yield "skipped", (f"{skipped:,} steps", "whose loss or gradient was not finite")


def _date(text: str) -> str:
    """Shows a date of a record, to the minute; one that cannot be read as it is."""
    try:
        return f"{datetime.fromisoformat(text).astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError):
        return text


def _hardware(start: Start) -> str:
    cpu = f"{start.cpu}, {start.threads} thread{'s' if start.threads > 1 else ''}"
    device = cpu if start.device == "CPU" else f"{start.device}; {cpu}"
    processes = f"{start.processes} processes, each with " if start.processes > 1 else ""
    return f"{processes}{device}; {start.system}"


def _versions(start: Start) -> str:
    return ", ".join(f"{name} {version}" for name, version in start.versions.items())
