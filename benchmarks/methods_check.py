"""That every method learns: `make methods-check`, or `python -m sslfast.benchmarks.methods_check`.

Pre-trains one small encoder with each method on the same images in the same time, and tests it by kNN and a linear
probe on the same held-out images, beside its random initialisation and a supervised run. A run's result is kept as
soon as it is there, and a run that was interrupted goes on where it was: the command may be stopped and started
again. Leaves methods.json, methods.txt and methods.png; the exit status is 1 where a method does not learn.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from sslfast.benchmarks import methods_plot
from sslfast.benchmarks.machine import RESULTS, commit, describe, machine_name, wait_for
from sslfast.benchmarks.methods_record import RANDOM, SUPERVISED, Record, Run, not_learned, summarise, table
from sslfast.benchmarks.methods_short import Scale, recipe, scale_of, settings, supervised
from sslfast.benchmarks.methods_supervised import SupervisedTrainer
from sslfast.config import DataConfig
from sslfast.data import Source, load_small, open_source, split
from sslfast.device import choose_device
from sslfast.encoders import Encoder
from sslfast.errors import TrainingError, UsageError
from sslfast.evaluate.command import random_encoder
from sslfast.evaluate.features import labelled_features
from sslfast.evaluate.knn import knn_accuracy
from sslfast.evaluate.linear import LinearConfig, linear_probe
from sslfast.interrupt import Interrupt
from sslfast.methods import METHODS
from sslfast.run import RunDirectory, read_config
from sslfast.settings import nearest
from sslfast.train import KNN_TEMPERATURE, Trainer
from sslfast.train import check as check_recipe

PROGRAM = "python -m sslfast.benchmarks.methods_check"
MINUTES = 2.2  # a run: 25 methods, their evaluations and the supervised run then take an hour
WARM_UP, TIMED = 3, 8  # steps that a run's length is found by
PROBED = 1000  # epochs of the training that they are of: none of its schedules ends
ENVIRONMENT = "SSLFAST_CIFAR10"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar10" / "train.tar.xz"


@dataclass(frozen=True)
class Task:
    """What all runs share.

    Attributes:
        data: the images, as `open_source` takes them.
        train_set, held_out: their two parts, decoded.
        epochs: of every run; None: as many as take `minutes`.
        runs: the folder for what is needed to go on with a run.
    """

    data: str
    train_set: Source
    held_out: Source
    scale: Scale
    device: torch.device
    epochs: int | None
    minutes: float
    runs: Path

    def length(self, seconds_per_epoch: Callable[[], float]) -> int:
        """Epochs of a run, where no earlier one tells."""
        return self.epochs or max(1, round(60 * self.minutes / seconds_per_epoch()))


def images(data: str, scale: Scale, device: torch.device) -> tuple[Source, Source]:
    """The images to train on and those to test on.

    Raises:
        UsageError: there are no such images, too few, or they have no labels.
    """
    limit = None if scale.images is None else scale.images + scale.held_out
    source = open_source(data, limit=limit)
    if source.labels is None:
        raise UsageError(f"--data {data}: has no labels, which the evaluations need")
    source = load_small(source, DataConfig(), device)
    return split(source, min(scale.held_out / len(source), 0.5))


def run_method(method: str, seed: int, task: Task, epochs: int | None) -> Run:
    """Trains and evaluates; goes on with a run of the same settings that was interrupted.

    Args:
        epochs: of the runs with other seeds; None: there is none yet.

    Raises:
        UsageError, TrainingError: as `sslfast.train.pretrain`.
        SystemExit: a signal came, and the run was saved.
    """
    run = RunDirectory(task.runs / f"{method}-{seed}")
    recipe_of = partial(recipe, method, task.data, task.scale, seed=seed)
    before = read_config(run.config) if run.config.exists() else None
    resume = before is not None and before == recipe_of(task.epochs or before.train.epochs)
    if before is not None and resume:
        config = before
    else:
        measured = partial(seconds_per_epoch, lambda: Trainer(recipe_of(PROBED), run, task.train_set))
        config = recipe_of(epochs or task.length(measured))
    check_recipe(config)
    trainer = Trainer(config, run, task.train_set)
    if resume:
        trainer.resume()
    run.start(config, resume=resume)
    with Interrupt() as interrupt:
        seconds = timed(partial(trainer.fit, interrupt), task.device)
    if interrupt.received and trainer.step < trainer.total_steps:
        raise SystemExit(interrupt.exit_code)
    found = accuracies(trainer.method.encoder, config.data, task)
    shutil.rmtree(run.path)
    return Run(method, seed, settings(method, task.scale), config.train.epochs, seconds, *found, commit())


def run_supervised(seed: int, task: Task, epochs: int | None) -> Run:
    """The same encoder under a linear classifier. From the beginning, where it was interrupted."""
    trainer_of = partial(SupervisedTrainer, supervised(task.scale), task.train_set, task.device, seed)
    trainer = trainer_of(epochs or task.length(partial(seconds_per_epoch, lambda: trainer_of(PROBED))))
    seconds = timed(trainer.fit, task.device)
    found = accuracies(trainer.encoder, trainer.recipe.data, task)
    return Run(SUPERVISED, seed, [], trainer.epochs, seconds, *found, commit())


def run_random(seed: int, task: Task) -> Run:
    """No training."""
    shared = supervised(task.scale)
    encoder = random_encoder(shared.encoder, seed).to(task.device)
    return Run(RANDOM, seed, [], 0, 0.0, *accuracies(encoder, shared.data, task), commit())


def seconds_per_epoch(make_trainer: Callable[[], Trainer | SupervisedTrainer]) -> float:
    """Of the steps, by the median, and of what precedes an epoch, such as a clustering."""
    trainer = make_trainer()
    batches = trainer.batches()
    preparation = timed(partial(next, batches), trainer.device)

    def step() -> None:
        trainer.train_step(next(batches))

    seconds = [timed(step, trainer.device) for _ in range(WARM_UP + TIMED)]
    return preparation + trainer.loader.steps_per_epoch * statistics.median(seconds[WARM_UP:])


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def accuracies(encoder: Encoder, data: DataConfig, task: Task) -> tuple[float, float]:
    """Held-out top-1 by kNN and by the linear probe."""
    bank, queries = (
        labelled_features(encoder, source, data, task.device) for source in (task.train_set, task.held_out)
    )
    classes = len(task.train_set.classes)
    knn = knn_accuracy(*bank, *queries, k=task.scale.neighbours, temperature=KNN_TEMPERATURE, classes=classes)
    linear = linear_probe(*bank, *queries, config=LinearConfig(), classes=classes)
    return knn["top1"], linear["top1"]


def run_all(methods: Sequence[str], seeds: int, task: Task, record: Record) -> dict[str, str]:
    """Adds what the record lacks, seed by seed. Returns why a method has no result, where one has none."""
    failed: dict[str, str] = {}
    for seed in range(seeds):
        for method in [RANDOM, SUPERVISED, *methods]:
            done = record.find(method, settings(method, task.scale) if method in METHODS else [])
            if seed in done or method in failed:
                continue
            epochs = next((run.epochs for run in done.values()), None)
            try:
                if method == RANDOM:
                    run = run_random(seed, task)
                elif method == SUPERVISED:
                    run = run_supervised(seed, task, epochs)
                else:
                    run = run_method(method, seed, task, epochs)
            except (UsageError, TrainingError) as error:
                failed[method] = str(error)
                print(f"{method}: {error}", flush=True)
                continue
            record.add(run)
            print(
                f"{method}, seed {seed}: {run.epochs} epochs in {run.seconds:.0f} s, "
                f"kNN {run.knn:.1%}, linear probe {run.linear:.1%}",
                flush=True,
            )
    return failed


def report(record: Record, out: Path) -> dict[str, list[str]]:
    """Writes table and picture. Returns the methods that did not learn, and by which evaluation."""
    found = summarise(record.runs)
    header = "\n".join(f"{key}: {value}" for key, value in {**record.header, **record.shared}.items())
    text = f"{header}\n\n{table(found)}\n"
    (out / "methods.txt").write_text(text)
    print(f"\n{text}")
    shared = record.shared
    title = f"{shared['images']:,} images, ResNet-18 of width {shared['width']:g}, {shared['held_out']:,} held out"
    methods_plot.draw(found, title, out / "methods.png")
    return not_learned(found, shared["held_out"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--method", metavar="NAME", nargs="+", default=list(METHODS), help="(default: all)")
    parser.add_argument(
        "--data",
        metavar="PATH|NAME",
        default=os.environ.get(ENVIRONMENT) or (str(SHARED) if SHARED.exists() else "CIFAR10"),
        help=f"labelled images (default: ${ENVIRONMENT}, else ../shared's or torchvision's CIFAR-10)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", metavar="M", type=float, default=MINUTES, help="a run (default: %(default)s)")
    length.add_argument("--epochs", metavar="N", type=int, help="a run, in place of --minutes")
    parser.add_argument("--seeds", metavar="N", type=int, default=1, help="0 to N - 1 (default: %(default)s)")
    parser.add_argument("--images", metavar="N", type=int, help="to train on (default: 5000; on a GPU all)")
    parser.add_argument("--held-out", metavar="N", type=int, help="to test on (default: 2000; on a GPU 5000)")
    parser.add_argument("--width", metavar="W", type=float, help="of the ResNet-18 (default: 0.125; on a GPU 1)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="(default: benchmarks/results/<machine>/methods)")
    parser.add_argument(
        "--runs", metavar="DIR", type=Path, default=Path("runs/methods-check"), help="(default: %(default)s)"
    )
    args = parser.parse_args(argv)
    try:
        if unknown := [name for name in args.method if name not in METHODS]:
            raise UsageError(f"--method {unknown[0]}: no such method{nearest(unknown[0], METHODS)}")
        return check(args)
    except UsageError as error:
        print(f"methods_check: {error}", file=sys.stderr)
        return 2


def check(args: argparse.Namespace) -> int:
    device = choose_device("auto")
    given = {name: getattr(args, name) for name in ("images", "held_out", "width") if getattr(args, name)}
    scale = dataclasses.replace(scale_of(device), **given)
    task = Task(args.data, *images(args.data, scale, device), scale, device, args.epochs, args.minutes, args.runs)
    shared = {
        "data": "/".join(Path(args.data).parts[-2:]),
        **dataclasses.asdict(scale),
        "images": len(task.train_set),
        "held_out": len(task.held_out),
        **({"epochs": args.epochs} if args.epochs else {"minutes": args.minutes}),
    }
    out = args.out or RESULTS / machine_name(device) / "methods"
    record = Record(out / "methods.json", {**describe(device), "command": PROGRAM}, shared)
    failed = run_all(args.method, args.seeds, task, record)
    missing = report(record, out)
    for method, names in missing.items():
        print(f"{method}: no clear margin over random initialisation by {' and '.join(names)}")
    for method, reason in failed.items():
        print(f"{method}: no result: {reason}")
    return int(bool(missing or failed))


if __name__ == "__main__":
    sys.exit(main())
