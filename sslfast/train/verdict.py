"""The verdict on a run: its last figures, and the signs among them that it has learned nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sslfast.run.summary import Fault, RunSummary

# A shorter run is not judged by its loss, and by kNN only where it is below random beyond doubt.
STEPS_TO_JUDGE, EPOCHS_TO_JUDGE = 100, 2
END = 0.1  # share of the steps whose mean is a run's last figure
AT_CHANCE = 0.995  # share of the chance loss; below it a run has learned something
COLLAPSED = 0.1  # share of the standard deviation of embeddings that are spread evenly
DOUBT = 2  # standard errors
# Share of the initial weights' effective rank. On generated shapes SimSiam raises it to more than twice that
# within two epochs; without its stop-gradient it falls to about half.
COLLAPSED_RANK = 0.75


@dataclass(frozen=True)
class Scale:
    """The values that the figures of a run are compared with; None where there are none.

    Attributes:
        chance_loss: of `Method.chance_loss`.
        even_std: of `Method.even_std`.
        val_images: number of held-out images.
        initial: what the initial weights are called, `initial_name`.
    """

    chance_loss: float | None
    even_std: float | None
    val_images: int
    initial: str


def judge(rows: Sequence[dict[str, Any]], steps: int, epochs: int, scale: Scale) -> RunSummary:
    """Sums a run up, and judges it.

    Args:
        rows: the lines of its metrics.jsonl.
        steps: how many steps it took.
        epochs: how many epochs they were.
        scale: the values to compare its figures with.

    Returns:
        The summary, whose `faults` are the signs that the run has learned nothing:

        - steps_skipped: the loss or its gradient was not finite in most steps.
        - loss_at_chance: the loss ends where networks that tell no images apart have it.
        - collapsed: the embeddings end close to one direction.
        - knn_below_initial: kNN on the held-out images ends below that of the initial weights.
    """
    latest = [row for row in rows if row["step"] > (1 - END) * steps]
    knn: dict[str, Any] = next((row for row in reversed(rows) if "knn_top1" in row), {})
    summary = RunSummary(
        steps=steps,
        epochs=epochs,
        skipped_steps=max((row["skipped_steps"] for row in rows if "skipped_steps" in row), default=0),
        loss=_mean(latest, "loss"),
        chance_loss=scale.chance_loss,
        std=_mean(latest, "std"),
        even_std=scale.even_std,
        knn_top1=knn.get("knn_top1"),
        knn_initial_top1=knn.get("knn_initial_top1"),
        val_images=scale.val_images,
        judged=steps >= STEPS_TO_JUDGE and epochs >= EPOCHS_TO_JUDGE,
        faults=[],
    )
    return replace(summary, faults=list(_faults(summary, scale.initial)))


def rank_warning(rows: Sequence[dict[str, Any]], initial: str) -> str | None:
    """Writes the sentence of a run whose features have come to vary along fewer directions than at its start.

    Args:
        rows: the lines of its metrics.jsonl up to now.
        initial: what the initial weights are called, `initial_name`.

    Returns:
        The sentence; None where the rank has not fallen so low, or had at the evaluation before, which said so.
    """
    evaluated = [row for row in rows if math.isfinite(row.get("feature_rank", math.nan))]
    if len(evaluated) < 2 or evaluated[0]["step"]:
        return None
    first, before, last = (evaluated[number]["feature_rank"] for number in (0, -2, -1))
    lowest = COLLAPSED_RANK * first
    if last >= lowest or before < lowest:
        return None
    return (
        f"a sign of collapse: at epoch {evaluated[-1]['epoch']:g} the effective rank of the features is "
        f"{last:.3g}, and {first:.3g} for {initial}: lower optim.lr, or go back to the method's recipe"
    )


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    """Computes the mean of the finite values of a name, of which there may be none."""
    values = [row[name] for row in rows if math.isfinite(row.get(name, math.nan))]
    return statistics.fmean(values) if values else None


def _faults(run: RunSummary, initial: str) -> Iterator[Fault]:
    if run.skipped_steps > run.steps / 2:
        yield Fault(
            "steps_skipped",
            f"the loss or its gradient was not finite in {run.skipped_steps} of {run.steps} steps, which were "
            "skipped: lower optim.lr, or use train.precision=fp32",
        )
    if run.judged and _is_at_chance(run.loss, run.chance_loss):
        yield Fault(
            "loss_at_chance",
            f"the loss ends at {run.loss:.3f}, and networks that tell no images apart have {run.chance_loss:.3f}: "
            "lower optim.lr, train longer, or look at the views with `sslfast views`",
        )
    if run.judged and _is_collapsed(run.std, run.even_std):
        yield Fault(
            "collapsed",
            f"the embeddings have collapsed: their standard deviation ends at {run.std:.2g}, and is "
            f"{run.even_std:.2g} where they are spread evenly: lower optim.lr, or go back to the settings of the "
            "method's recipe",
        )
    if run.knn_top1 is not None and run.knn_initial_top1 is not None:
        lost = run.knn_initial_top1 - run.knn_top1
        error = _standard_error(run.knn_top1, run.knn_initial_top1, run.val_images)
        if lost > (0 if run.judged else DOUBT * error):
            yield Fault(
                "knn_below_initial",
                f"kNN ends at {run.knn_top1:.1%} of {run.val_images} held-out images, below the "
                f"{run.knn_initial_top1:.1%} of {initial}, by {100 * lost:.1f} points with a standard "
                f"error of {100 * error:.1f}: train longer, or go back to the settings of the method's recipe",
            )


def _is_at_chance(loss: float | None, chance_loss: float | None) -> bool:
    return loss is not None and chance_loss is not None and loss >= AT_CHANCE * chance_loss


def _is_collapsed(std: float | None, even_std: float | None) -> bool:
    return std is not None and even_std is not None and std <= COLLAPSED * even_std


def _standard_error(p: float, q: float, count: int) -> float:
    """Computes the standard error of the difference of two accuracies on so many images."""
    return math.sqrt((p * (1 - p) + q * (1 - q)) / max(count, 1))
