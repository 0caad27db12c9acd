"""The verdict on a run, out of the lines of its metrics."""

import math

import pytest

from sslfast.run.summary import Fault
from sslfast.train.verdict import Scale, judge

LN_K = math.log(4097)
SCALE = Scale(chance_loss=LN_K, even_std=0.1, val_images=1000, initial="random initialization")


def rows(losses, *, log_every=10, knn=None, **values):
    """Makes the lines of a run that logs these losses, and at its end `values` and kNN beside random."""
    lines = [
        {"step": log_every * n, "epoch": n / 5, "loss": loss, "skipped_steps": 0, **values}
        for n, loss in enumerate(losses, 1)
    ]
    if knn:
        top1, random = knn
        lines.insert(0, {"step": 0, "epoch": 0.0, "knn_top1": random, "knn_initial_top1": random})
        lines.append({"step": log_every * len(losses), "epoch": 4, "knn_top1": top1, "knn_initial_top1": random})
    return lines


def kinds(lines, steps=200, epochs=4, scale=SCALE):
    return [fault.kind for fault in judge(lines, steps, epochs, scale).faults]


GOOD = [8.3, *[8.2] * 9, *[6.0] * 10]


def test_a_run_that_learns():
    summary = judge(rows(GOOD, knn=(0.5, 0.4), std=0.08), 200, 4, SCALE)
    assert summary.faults == []
    assert (summary.steps, summary.epochs, summary.skipped_steps, summary.judged) == (200, 4, 0, True)
    assert (summary.loss, summary.chance_loss) == (6.0, LN_K)
    assert (summary.std, summary.even_std) == (pytest.approx(0.08), 0.1)
    assert (summary.knn_top1, summary.knn_initial_top1, summary.val_images) == (0.5, 0.4, 1000)


@pytest.mark.parametrize("end", [LN_K, 1.5 * LN_K, 0.996 * LN_K])
def test_a_loss_that_ends_at_chance(end):
    (fault,) = judge(rows([7.0] * 18 + [end] * 2), 200, 4, SCALE).faults
    assert fault.kind == "loss_at_chance"
    assert fault.message.startswith(
        f"the loss ends at {end:.3f}, and networks that tell no images apart have 8.318"
    )


def test_the_loss_is_that_of_the_last_tenth():
    assert kinds(rows([LN_K] * 18 + [6.0] * 2)) == []
    assert kinds(rows([LN_K] * 18 + [LN_K - 0.3, LN_K + 0.3])) == ["loss_at_chance"]  # it is noisy
    assert kinds(rows([LN_K], log_every=200)) == ["loss_at_chance"]  # however seldom it is logged
    assert kinds(rows([0.99 * LN_K] * 20)) == []


def test_embeddings_that_collapse():
    (fault,) = judge(rows(GOOD, std=0.004), 200, 4, SCALE).faults
    assert fault == Fault("collapsed", fault.message)
    assert "standard deviation ends at 0.004, and is 0.1 where they are spread evenly" in fault.message
    assert kinds(rows(GOOD, std=0.05)) == []


def test_knn_that_ends_below_random():
    (fault,) = judge(rows(GOOD, knn=(0.39, 0.4)), 200, 4, SCALE).faults
    assert fault.kind == "knn_below_initial"
    assert "kNN ends at 39.0% of 1000 held-out images, below the 40.0% of random initialization" in fault.message
    assert "by 1.0 points with a standard error of 2.2" in fault.message
    assert kinds(rows(GOOD, knn=(0.4, 0.4))) == []


def test_most_steps_skipped():
    lines = rows(GOOD)
    lines[-1]["skipped_steps"] = 101
    (fault,) = judge(lines, 200, 4, SCALE).faults
    assert fault.kind == "steps_skipped"
    assert "not finite in 101 of 200 steps" in fault.message
    lines[-1]["skipped_steps"] = 100
    assert kinds(lines) == []


def test_all_at_once():
    lines = rows([LN_K] * 20, std=0.0, knn=(0.1, 0.4))
    assert kinds(lines) == ["loss_at_chance", "collapsed", "knn_below_initial"]


@pytest.mark.parametrize(("steps", "epochs"), [(99, 4), (200, 1)])
def test_a_short_run_is_judged_by_knn_alone_and_beyond_doubt(steps, epochs):
    lines = rows([LN_K], log_every=steps, std=0.0, knn=(0.37, 0.4))
    summary = judge(lines, steps, epochs, SCALE)
    assert (summary.judged, summary.faults) == (False, [])  # 3 points, of a standard error of 2.2
    assert kinds(rows([LN_K], log_every=steps, knn=(0.35, 0.4)), steps, epochs) == ["knn_below_initial"]
    few = Scale(None, None, val_images=18, initial="initial weights")
    assert kinds(rows([LN_K], log_every=steps, knn=(0.3, 0.6)), steps, epochs, few) == []


def test_figures_that_there_are_not():
    """A method without a chance loss, a run without labels, a log that was lost, a loss that was not finite."""
    none = Scale(None, None, val_images=0, initial="initial weights")
    summary = judge(rows([LN_K] * 20), 200, 4, none)
    assert (summary.faults, summary.knn_top1, summary.std) == ([], None, None)
    assert judge([], 200, 4, SCALE).loss is None
    assert judge(rows([math.nan, math.inf, 5.0], log_every=200), 600, 4, SCALE).loss == 5.0
