"""The check that every method learns: `make methods-check`, or `python -m sslfast.benchmarks.methods.check`.

Pre-trains one small encoder with each method on the same images, and tests it by kNN and a linear probe on the
same held-out images, before and after, beside a supervised run. A method has as many epochs as --minutes hold by a
few steps that are timed before, or, where `short` says so, some times as many: the times of the runs are near one
another, not the same, and the table has them. A run's result is kept as soon as it is there, and a run that was
interrupted goes on where it was: the command may be stopped and started again. Leaves methods.json, methods.txt
and methods.png; the exit status is 1 where a method does not learn, and no note in `short` explains why. With
--published whole recipes train for 200 epochs, which takes a GPU, and published accuracies stand beside what they
reach.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from sslfast.benchmarks.measure.machine import RESULTS, describe, machine_name
from sslfast.benchmarks.methods.plot import draw
from sslfast.benchmarks.methods.pool import Failure, Job, do_all
from sslfast.benchmarks.methods.published import EPOCHS, LINEAR, PUBLISHED, SCALE
from sslfast.benchmarks.methods.record import (
    RANDOM,
    SUPERVISED,
    MethodRecord,
    held_equal,
    not_learned,
    summarize,
    table,
)
from sslfast.benchmarks.methods.run import Task
from sslfast.benchmarks.methods.short import Scale, note, scale_of
from sslfast.config import DataConfig
from sslfast.data import Source, load_small, open_source, split
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.evaluation.linear.config import LinearConfig
from sslfast.hints import nearest
from sslfast.methods import METHODS

PROGRAM = "python -m sslfast.benchmarks.methods.check"
MINUTES = 3.0  # a run: 40 of them and their evaluations then take about an hour on two cores
ENVIRONMENT = "SSLFAST_CIFAR10"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10" / "train.tar.xz"


def images(data: str, scale: Scale, device: torch.device) -> tuple[Source, Source]:
    """Opens the images to train on and those to test on, decoded; of few images at most half are to test on.

    Raises:
        UsageError: there are no such images, too few, or they have no labels.
    """
    limit = None if scale.num_images is None else scale.num_images + scale.num_held_out
    source = open_source(data, limit=limit)
    if source.labels is None:
        raise UsageError(f"--data {data}: has no labels, which the evaluations need")
    source = load_small(source, DataConfig(), device)
    return split(source, min(scale.num_held_out / len(source), 0.5))


def run_all(
    methods: Sequence[str], seeds: int, task: Task, record: MethodRecord, processes: int
) -> dict[str, str]:
    """Makes the runs that the record lacks, seed by seed. Returns the reasons why methods have no result."""
    failed: dict[str, str] = {}
    for seed in range(seeds):
        jobs = []
        for method in dict.fromkeys([RANDOM, *([] if task.whole else [SUPERVISED]), *methods]):
            done = record.find(method, task.settings(method))
            if seed not in done and method not in failed:
                jobs.append(Job(method, seed, next((run.epochs for run in done.values()), None)))
        for outcome in tqdm(do_all(task, jobs, processes), f"seed {seed}", len(jobs), unit="run", disable=None):
            if isinstance(outcome, Failure):
                failed[outcome.method] = outcome.reason
                tqdm.write(f"{outcome.method}: {outcome.reason}")
                continue
            record.add(outcome)
            tqdm.write(
                f"{outcome.method}, seed {seed}: {outcome.epochs} epochs in {outcome.seconds:.0f} s, "
                f"kNN {outcome.scores['knn']:.1%}, linear probe {outcome.scores['linear']:.1%}"
            )
    return failed


def report(record: MethodRecord, out: Path, published: Mapping[str, float]) -> dict[str, list[str]]:
    """Writes table and picture. Returns the methods that did not learn, and by which evaluation."""
    summaries = summarize(record.runs)
    told = {**record.header, **record.shared}
    if record.continued is not None:
        told["continued"] = ", ".join(record.continued.values())
    header = "\n".join(f"{key}: {value}" for key, value in told.items())
    text = f"{header}\n\n{held_equal(summaries, record.shared)}\n\n{table(summaries, published)}\n"
    (out / "methods.txt").write_text(text)
    print(f"\n{text}")
    shared = record.shared
    title = f"{shared['images']:,} images, ResNet-18 of width {shared['width']:g}, {shared['held_out']:,} held out"
    draw(summaries, title, out / "methods.png")
    return not_learned(summaries, shared["held_out"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--method", metavar="NAME", nargs="+", help="(default: all; those that were published)")
    parser.add_argument("--published", action="store_true", help="whole recipes, beside published accuracies")
    parser.add_argument(
        "--data",
        metavar="PATH|NAME",
        default=os.environ.get(ENVIRONMENT) or (str(SHARED) if SHARED.exists() else "CIFAR10"),
        help=f"labeled images (default: ${ENVIRONMENT}, else ../shared's or torchvision's CIFAR-10)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", metavar="M", type=float, help=f"a run (default: {MINUTES:g})")
    length.add_argument("--epochs", metavar="N", type=int, help=f"a run (default with --published: {EPOCHS})")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="0 to N - 1 (default: %(default)s)")
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=int,
        help="runs at a time, which share the threads (default: one a core; on a GPU 1)",
    )
    parser.add_argument("--images", metavar="N", type=int, help="to train on (default: 5000; on a GPU all)")
    parser.add_argument("--held-out", metavar="N", type=int, help="to test on (default: 5000)")
    parser.add_argument("--width", metavar="W", type=float, help="of the ResNet-18 (default: 0.125; on a GPU 1)")
    folder = "benchmarks/results/<machine>/methods, or published"
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"(default: {folder})")
    parser.add_argument(
        "--runs", metavar="DIR", type=Path, default=Path("runs/methods-check"), help="(default: %(default)s)"
    )
    args = parser.parse_args(argv)
    try:
        if unknown := [name for name in args.method or () if name not in METHODS]:
            raise UsageError(f"--method {unknown[0]}: no such method{nearest(unknown[0], METHODS)}")
        return run(args)
    except UsageError as error:
        print(f"methods-check: {error}", file=sys.stderr)
        return 2


def jobs_for(device: torch.device) -> int:
    return 1 if device.type == "cuda" else torch.get_num_threads()


def run(args: argparse.Namespace) -> int:
    """Makes the runs that are asked for and lack, and reports on all; returns 1 if a method does not learn."""
    device = choose_device("auto")
    asked = {"num_images": args.images, "num_held_out": args.held_out, "width": args.width}
    whole = args.published
    scale = dataclasses.replace(
        SCALE if whole else scale_of(device), **{name: value for name, value in asked.items() if value}
    )
    epochs = args.epochs or (EPOCHS if whole and not args.minutes else None)
    minutes = args.minutes or MINUTES
    train_set, held_out = images(args.data, scale, device)
    linear = LINEAR if whole else LinearConfig()
    task = Task(args.data, train_set, held_out, scale, device, epochs, minutes, args.runs, whole, linear)
    shared = {
        "data": "/".join(Path(args.data).parts[-2:]),
        "images": len(task.train_set),
        "held_out": len(task.held_out),
        "width": scale.width,
        "neighbors": scale.num_neighbors,
        **({"epochs": epochs} if epochs else {"minutes": minutes}),
        **({"recipes": "whole"} if whole else {}),
    }
    out = args.out or RESULTS / machine_name(device) / ("published" if whole else "methods")
    command = f"{PROGRAM} --published" if whole else PROGRAM
    record = MethodRecord(out / "methods.json", {**describe(device), "command": command}, shared)
    methods = args.method or list(PUBLISHED if whole else METHODS)
    failed = run_all(methods, args.seeds, task, record, args.jobs or jobs_for(device))
    missing = report(record, out, PUBLISHED if whole else {})
    notes = {method: note(method, scale) for method in missing}
    for method, names in missing.items():
        explained = f": {notes[method]}" if notes[method] else ""
        print(f"{method}: no clear margin over random initialization by {' and '.join(names)}{explained}")
    for method, reason in failed.items():
        print(f"{method}: no result: {reason}")
    return int(not all(notes.values()) or bool(failed))


if __name__ == "__main__":
    sys.exit(main())
