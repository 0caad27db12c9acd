"""Time and bytes of several ranks' steps beside plain DistributedDataParallel: `make bench-exchange`.

The ranks are processes on the CPU with a thread each, joined by gloo. Ours is `TrainStep`: its gradients go by
DistributedDataParallel, too, but no buffers, the running statistics are averaged with the loss, and the optimizer
moves the moving average along. Plain is what a user writes around the same networks, loss and images:
DistributedDataParallel by its defaults, torch's SGD, and a loop for the moving average. The two take turns, step
by step; a step takes as long as on the slowest rank. The bytes that a rank hands to collectives are counted in a
step before, on networks of their own, and held to `formulas`. On 2 CPU cores all takes about 3 minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from sslfast.benchmarks.exchange.counter import counted
from sslfast.benchmarks.exchange.formulas import OF_METHOD, Handed, Step, handed
from sslfast.benchmarks.measure.machine import describe
from sslfast.benchmarks.train.cases import SMALL, TrainCase, noise, recipe_of
from sslfast.config import Recipe
from sslfast.data import Batch, Source
from sslfast.distributed import largest
from sslfast.errors import UsageError
from sslfast.hints import nearest
from sslfast.methods import Method
from sslfast.optim.schedules import scaled_lr
from sslfast.run.atomic import atomic_write
from sslfast.train.step import build_method, build_step

PROGRAM = "python -m sslfast.benchmarks.exchange.bench"
CPU = torch.device("cpu")
RANKS = (2, 4)
CASE = TrainCase("resnet18", 0.25, "cifar", 32, 8, 4096, SMALL)  # batch_size: a rank's images
SECONDS = 8.0  # to spend on the timing of a method, about
MIN_ROUNDS = 3


@dataclass(frozen=True)
class Pipeline:
    """A training step, the method that it trains, and what is called for its loss."""

    step: Callable[[], object]
    method: Method
    network: nn.Module


@dataclass(frozen=True)
class ExchangeResult:
    """A method's steps by a number of ranks, by pipeline, and the bytes that a rank hands over, by kind."""

    method: str
    ranks: int
    milliseconds: dict[str, float]  # the median
    ratio: float  # of plain's time to ours: the median of the rounds
    rounds: int
    handed: dict[str, dict[str, int]]  # as counted


def recipe(method: str, ranks: int, case: TrainCase = CASE) -> Recipe:
    """Makes the method's recipe for CIFAR-10 with the case's encoder and images, in fp32, by SGD."""
    found = recipe_of(method, replace(case, batch_size=ranks * case.batch_size))
    return replace(
        found,
        encoder=replace(found.encoder, norm="batch"),
        optim=replace(found.optim, name="sgd"),
        train=replace(found.train, precision="fp32", device="cpu"),
    )


def ours(recipe: Recipe, source: Source) -> tuple[Pipeline, Batch]:
    """Makes our step, and the batch that it takes again and again, of an epoch in which all its parts work."""
    train_step, loader = build_step(recipe, source, CPU)
    batch = next(iter(loader.epoch(recipe.train.epochs - 1)))
    return Pipeline(lambda: train_step(batch), train_step.method, train_step.weights.loss), batch


def plain(recipe: Recipe, source: Source, batch: Batch) -> Pipeline:
    """Makes the step as a user of DistributedDataParallel writes it."""
    method = build_method(recipe, len(source), CPU)
    network, optim = DistributedDataParallel(method), recipe.optim
    optimizer = SGD(
        [parameter for parameter in method.parameters() if parameter.requires_grad],
        scaled_lr(optim, recipe.data.batch_size),
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
    )
    copy, never = method.momentum_copy(), torch.tensor(False)

    def step() -> None:
        loss, _, kept = network(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if copy is not None:
            momentum = method.momentum(0, 1)
            with torch.no_grad():
                for target, weight in zip(*copy.pairs(), strict=True):
                    target.mul_(momentum).add_(weight, alpha=1 - momentum)
        method.after_step(kept, 0, 1, never)

    return Pipeline(step, method, network)


def pipelines(recipe: Recipe, source: Source) -> dict[str, Pipeline]:
    """Makes both pipelines, on networks of their own."""
    first, batch = ours(recipe, source)
    return {"ours": first, "plain": plain(recipe, source, batch)}


def count(pipeline: Pipeline) -> Handed:
    """Counts the bytes that this rank hands over in a step."""
    with counted(pipeline.network) as found:
        pipeline.step()
    return found


def checked_counts(recipe: Recipe, source: Source) -> dict[str, Handed]:
    """Counts the bytes that this rank hands over in a step of both pipelines.

    Raises:
        RuntimeError: they are not those of the formulas.
    """
    found = {}
    for name, pipeline in pipelines(recipe, source).items():
        found[name] = count(pipeline)
        ranks = dist.get_world_size()
        step = Step(recipe, recipe.data.batch_size // ranks, ranks)
        if found[name] != (computed := handed(step, pipeline.method, plain=name == "plain")):
            raise RuntimeError(
                f"{recipe.method.name}, {name}, {ranks} ranks: counted {found[name]}, computed {computed}"
            )
    return found


def take_turns(steps: dict[str, Callable[[], object]], seconds: float) -> dict[str, list[float]]:
    """Measures the milliseconds of each step on the slowest rank, in rounds, each in another order."""

    def slowest(step: Callable[[], object]) -> float:
        start = time.perf_counter()
        step()
        return largest(round((time.perf_counter() - start) * 1e6)) / 1e3  # the ranks begin the next one together

    warm = sum(min(slowest(step) for _ in range(2)) for step in steps.values())
    times: dict[str, list[float]] = {name: [] for name in steps}
    order, shuffle = list(steps), random.Random(0).shuffle
    for _ in range(max(MIN_ROUNDS, int(seconds * 1e3 / warm))):
        shuffle(order)
        for name in order:
            times[name].append(slowest(steps[name]))
    return times


def measure(method: str, source: Source, seconds: float) -> ExchangeResult:
    """Counts and times a method's pipelines, on every rank."""
    ranks = dist.get_world_size()
    of_method = recipe(method, ranks)
    found = checked_counts(of_method, source)
    steps = {name: pipeline.step for name, pipeline in pipelines(of_method, source).items()}
    times = take_turns(steps, seconds)
    ratios = [theirs / own for own, theirs in zip(times["ours"], times["plain"], strict=True)]
    return ExchangeResult(
        method,
        ranks,
        {name: statistics.median(samples) for name, samples in times.items()},
        statistics.median(ratios),
        len(ratios),
        {name: dict(bytes_of) for name, bytes_of in found.items()},
    )


def work(rank: int, ranks: int, methods: Sequence[str], seconds: float, folder: Path) -> None:
    """Measures the methods as one of the ranks; the first prints a line of each, and leaves the results."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=ranks)
    source, results = noise(CASE), []
    for method in methods:
        results.append(result := measure(method, source, seconds))
        if rank == 0:
            bytes_of = (f"{sum(result.handed[name].values()) / 2**20:.2f}" for name in ("ours", "plain"))
            print(
                f"{method:<14}{ranks:>3} ranks {result.milliseconds['ours']:>8.1f} ms, plain "
                f"{result.milliseconds['plain']:.1f} ms, {result.ratio:.2f}x; MiB a rank: {', '.join(bytes_of)}",
                flush=True,
            )
    if rank == 0:
        (folder / "results.json").write_text(json.dumps([asdict(result) for result in results]))
    dist.destroy_process_group()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--method", metavar="NAME", nargs="+", default=list(OF_METHOD), help="(default: all)")
    parser.add_argument("--ranks", metavar="N", nargs="+", type=int, default=RANKS, help="(default: 2 4)")
    parser.add_argument(
        "--seconds", metavar="S", type=float, default=SECONDS, help="a method is timed for (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results and what they depend on")
    args = parser.parse_args(argv)
    for method in args.method:
        if method not in OF_METHOD:
            error = UsageError(f"--method {method}: no formula of this method{nearest(method, OF_METHOD)}")
            print(f"bench-exchange: {error}", file=sys.stderr)
            return 2
    torch.set_num_threads(1)
    header = {**describe(CPU), "command": PROGRAM, "case": f"{CASE}, {CASE.batch_size} images a rank"}
    print("\n".join(f"{key}: {value}" for key, value in header.items()), flush=True)
    results = []
    for ranks in args.ranks:
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(work, (ranks, args.method, args.seconds, Path(folder)), nprocs=ranks)
            results += json.loads((Path(folder) / "results.json").read_text())
    if args.json:
        with atomic_write(args.json) as file:
            file.write((json.dumps({"header": header, "results": results}, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
