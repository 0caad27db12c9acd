"""The lines that a run says of itself: before it trains, while it trains, and when it is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import timedelta

import torch
from torch import nn

from sslfast.config import DataConfig, Recipe
from sslfast.data import Source
from sslfast.data.pipeline import is_for_dali, is_resident, streams_by_pillow
from sslfast.data.sources.names import listed
from sslfast.distributed import world_size
from sslfast.given import is_given
from sslfast.optim.schedules import learning_rate
from sslfast.run.backbone import initial_name
from sslfast.run.directory import RunDirectory
from sslfast.run.summary import RunSummary
from sslfast.train.clock import Lap
from sslfast.train.step import TrainStep
from sslfast.weights.initial import InitialWeights


def header(
    recipe: Recipe, run: RunDirectory, train_step: TrainStep, train_set: Source, val_set: Source | None
) -> Iterator[str]:
    """Yields the lines before training: what runs, on what, and where it leaves the weights."""
    device, data, method = train_step.device, recipe.data, train_step.method
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"threads: {torch.get_num_threads()}"
    classes = f" of {len(train_set.classes)} classes" if train_set.labels is not None else ", no labels"
    yield f"device: {device} ({name}), {train_step.precision}"
    if world_size() > 1:
        yield f"{world_size()} processes, each with {data.batch_size // world_size()} images of a batch"
    yield f"data: {train_set.name}, {len(train_set)} images{classes}, {len(val_set) if val_set else 0} held out"
    if not is_for_dali(data):
        yield f"images: {_form(data)}"
    yield f"pipeline: {_pipeline(recipe, train_set, device)}"
    yield f"method: {recipe.method.name}"
    yield (
        f"encoder: {recipe.encoder.name}, {_millions(method.encoder)} parameters; "
        f"with all that is trained {_millions(method)}"
    )
    if recipe.encoder.weights:
        yield f"initial weights: {recipe.encoder.weights}; the heads' are random"
    yield (
        f"training: {train_step.total_steps} steps, {recipe.train.epochs} epochs of "
        f"{train_step.total_steps // recipe.train.epochs} batches of {data.batch_size} images"
    )
    if train_step.steps_done:
        yield f"resumed at step {train_step.steps_done} of {train_step.total_steps}"
    yield f"weights: will be in {run.backbone}"


def _form(data: DataConfig) -> str:
    """Names the channels and the bits of a run's images, and what makes their views where that is no kernel."""
    channels = "1 channel" if data.channels == 1 else f"{data.channels} channels"
    views = "; plain PyTorch makes their views" if data.depth == 16 else ""
    return f"{channels} of {data.depth} bits{views}"


def _pipeline(recipe: Recipe, train_set: Source, device: torch.device) -> str:
    """Names the pipeline that `data.pipeline` leads to."""
    if is_resident(train_set, recipe.data, device):
        return "resident"
    if streams_by_pillow(recipe.data):
        return "pillow"
    return "dali" if recipe.data.pipeline == "auto" else recipe.data.pipeline


def _millions(network: nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters() if p.requires_grad) / 1e6:.2f} M"


def extension_line(train_step: TrainStep, epochs_before: int) -> str:
    """Writes the line of a run that goes on to more epochs than it was to have: what that does to its schedules.

    Args:
        train_step: of the extended run, at the step from which it goes on.
        epochs_before: the epochs that it was to have.
    """
    recipe, step, total = train_step.recipe, train_step.steps_done, train_step.total_steps
    total_before = total // recipe.train.epochs * epochs_before
    rate_before = learning_rate(step, total_before, train_step.warmup_steps, recipe.optim, train_step.peak_lr)
    before, now = (train_step.method.momentum(step, steps) for steps in (total_before, total))
    momentum = "" if before == now else f", the momentum of the moving average from {before:.4g} to {now:.4g}"
    return (
        f"extended from {epochs_before} to {recipe.train.epochs} epochs at step {step}: from here on the schedule "
        f"is that of {total} steps, not {total_before}, by which the learning rate goes from {rate_before:.3g} to "
        f"{train_step.learning_rate(step):.3g}{momentum}"
    )


def other_statistics(recipe: Recipe, initial: InitialWeights) -> str | None:
    """Writes the line of a run that normalizes its images otherwise than its initial weights know them.

    None: they are alike, or it is unknown how those were.
    """
    own = (recipe.data.mean, recipe.data.std)
    if initial.statistics in (None, own):
        return None
    (mean, std), (own_mean, own_std) = ([list(values) for values in pair] for pair in (initial.statistics, own))
    return (
        f"encoder.weights={recipe.encoder.weights}: were trained on images normalized by data.mean={mean} "
        f"data.std={std}, and this run has data.mean={own_mean} data.std={own_std}"
    )


def evaluation_line(
    epoch: int, values: Mapping[str, float], num_images: int, feature_dim: int, recipe: Recipe
) -> str:
    """Writes the line of an evaluation.

    Args:
        epoch: epochs done.
        values: of `FeatureMonitor.evaluate`.
        num_images: number of held-out images.
        feature_dim: number of features.
        recipe: what runs.
    """
    parts = [f"effective rank {values['feature_rank']:.3g} of {feature_dim} features"]
    if "knn_top1" in values:
        before = values.get("knn_initial_top1")
        beside = "" if before is None else f" ({initial_name(recipe.encoder)} {before:.1%})"
        parts.insert(0, f"kNN top-1 of {num_images} held-out images {values['knn_top1']:.1%}{beside}")
    return f"epoch {epoch}: {', '.join(parts)}"


def step_line(
    step: int, total_steps: int, epoch: float, lr: float, lap: Lap, batch_size: int, values: Mapping[str, float]
) -> str:
    """Writes the line of a logged step.

    Args:
        step: steps done.
        total_steps: those of the whole training.
        epoch: epochs done.
        lr: the learning rate of the step.
        lap: the time since the last such line.
        batch_size: images of a step.
        values: the loss and what the method logs beside it.
    """
    left = timedelta(seconds=round(lap.seconds_per_step * (total_steps - step)))
    return ", ".join(
        [
            f"step {step}/{total_steps}",
            f"epoch {epoch:.2f}",
            *(f"{name} {value:.4g}" for name, value in values.items()),
            f"lr {lr:.3g}",
            f"{batch_size / lap.seconds_per_step:.0f} images/s",
            f"{lap.input_share:.0%} waiting for images",
            f"{left} left",
        ]
    )


def footer(recipe: Recipe, run: RunDirectory, summary: RunSummary, labeled: bool) -> Iterator[str]:
    """Yields the lines after training: the last figures, where the weights are, and what to type next.

    Args:
        recipe: what ran.
        run: its directory.
        summary: its figures.
        labeled: whether its images have labels.
    """
    skipped = f", {summary.skipped_steps} of them skipped" if summary.skipped_steps else ""
    yield f"finished: {summary.steps} steps{skipped}"
    if summary.knn_top1 is not None and summary.knn_initial_top1 is not None:
        yield (
            f"kNN top-1 of {summary.val_images} held-out images: {summary.knn_top1:.1%}, "
            f"{initial_name(recipe.encoder)} {summary.knn_initial_top1:.1%}"
        )
    if not summary.judged:
        yield "whether it has learned is not judged by the loss: too short a run"
    yield f"weights: {run.backbone}"
    sources = listed(recipe.data.source)
    if is_given(recipe.encoder.name) or any(map(is_given, sources)):  # which a command cannot name
        images = "" if labeled else ", LABELED_IMAGES"
        yield f'next, of the run that sslfast.pretrain returned: run.report(), run.evaluate("linear"{images})'
        return
    folder = shlex.quote(str(run.path))
    yield f"next: sslfast report {folder}"
    data = " ".join(f"--data {shlex.quote(name)}" for name in sources)
    classes = f" {shlex.quote(f'classes={recipe.data.classes}')}" if labeled and recipe.data.classes else ""
    labels = data if labeled else "--data LABELED_IMAGES"
    yield f"next: sslfast evaluate linear {folder} {labels} --random-baseline{classes}"
    yield f"next: sslfast embed {folder} {data} --out {shlex.quote(str(run.path / 'embeddings.npz'))}"


def stopped(signal_name: str, step: int, total_steps: int, run: RunDirectory) -> str:
    """Writes the line of a run that a signal has ended."""
    resume = f"sslfast pretrain --resume {shlex.quote(str(run.path))}"
    return f"{signal_name}: saved at step {step} of {total_steps}; go on with: {resume}"
