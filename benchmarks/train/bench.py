"""Images per second and memory of a training step of every method: `make bench-train`.

A step is everything from the views of a batch to the weights of the next one: networks, loss, backward pass,
optimizer, moving averages, queues. Beside ours stands the same method as users of other packages write it, where
they are installed, with the same encoder, heads, batch, views and precision; on a CPU where that is bf16, ours in
fp32, too. The pipelines of a method take turns, step by step, and with them two parts of ours: the networks alone
(`networks`), and all that follows the gradient alone (`update`): guard, optimizer, moving averages, queue. The
share of our step that the networks leave is its overhead; the share of the update, a part of that overhead, is
headed optimizer. The images are noise, and lie on the device; input pipelines are the matter of `make
bench-views`. On 2 CPU cores all methods take about 40 minutes; each is recorded as soon as it is measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sslfast.benchmarks.measure.machine import commit, describe
from sslfast.benchmarks.measure.memory import extra_memory
from sslfast.benchmarks.measure.timing import Step, take_turns
from sslfast.benchmarks.train.cases import TrainCase, cases, noise, recipe_of
from sslfast.benchmarks.train.networks import networks_alone
from sslfast.benchmarks.train.peers import Peer, build_optimizer, installed, versions
from sslfast.benchmarks.train.plot import draw
from sslfast.benchmarks.train.record import HEAD, IN_FP32, OURS, TrainRecord, TrainResult, lines
from sslfast.benchmarks.train.update import Update
from sslfast.config import Recipe
from sslfast.data import Batch, Source
from sslfast.distributed.launch import own_device
from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import UsageError
from sslfast.hints import nearest
from sslfast.methods import METHODS
from sslfast.methods.base import Embed
from sslfast.recipes.check import check_recipe
from sslfast.train.step import TrainStep, build_step

PROGRAM = "python -m sslfast.benchmarks.train.bench"
SECONDS = 50.0  # to spend on the timing of a method, about; with fewer rounds its overhead is noise on a CPU
NETWORKS, UPDATE = "networks alone", "update alone"


@dataclass(frozen=True)
class Pipeline:
    """A training step, and the module and optimizer that it moves."""

    step: Callable[[], object]
    module: nn.Module
    optimizer: Optimizer

    def held(self) -> int:
        """Counts the bytes of the tensors that live from step to step."""
        memory = (tensor.untyped_storage() for tensor in self._tensors())
        return sum({storage.data_ptr(): storage.nbytes() for storage in memory}.values())

    def _tensors(self) -> Iterator[Tensor]:
        for parameter in self.module.parameters():
            yield from (parameter, *(() if parameter.grad is None else (parameter.grad,)))
            yield from (x for x in self.optimizer.state[parameter].values() if isinstance(x, Tensor))
        yield from self.module.buffers()


def ours(train_step: TrainStep, batch: Batch) -> Pipeline:
    return Pipeline(lambda: train_step(batch), train_step.method, train_step.optimizer)


def theirs(peer: Peer, train_step: TrainStep, batch: Batch) -> Pipeline:
    """Makes the pipeline of another package's form, in our step's precision and on its device."""
    device = train_step.device
    peer.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(peer, train_step.recipe.optim, len(batch.index))

    def step() -> None:
        with train_step.autocast():
            loss = peer.loss(batch.views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        peer.after_step()

    return Pipeline(step, peer, optimizer)


def embeddings(train_step: TrainStep, case: TrainCase) -> Embed:
    """Draws random vectors in place of the images' embeddings, which some methods cluster before an epoch."""

    def embed(network: nn.Module) -> tuple[Tensor, Tensor]:
        was_training = network.training
        with torch.no_grad():
            few = network.eval()(torch.randn(1, 3, case.size, case.size, device=train_step.device))
        network.train(was_training)
        return torch.randn(case.num_images, few.shape[1], device=train_step.device), torch.arange(case.num_images)

    return embed


def ready(recipe: Recipe, case: TrainCase, source: Source) -> tuple[TrainStep, Batch]:
    """Builds a recipe's step, when every part of the method is at work, and a batch."""
    check_recipe(recipe)
    train_step, loader = build_step(recipe, source, own_device(recipe.train.device))
    last = recipe.train.epochs - 1
    for epoch in (0, last):
        train_step.method.start_epoch(epoch, embeddings(train_step, case))
    return train_step, next(iter(loader.epoch(last)))


def measure(method: str, case: TrainCase, source: Source, seconds: float) -> list[TrainResult]:
    """Times a method's pipelines; compiled as `build_method` does it on a GPU, ours and the others'.

    Raises:
        UsageError: the method cannot be run like this.
    """
    torch.compiler.reset()
    recipe = recipe_of(method, case)
    train_step, batch = ready(recipe, case, source)
    alone = networks_alone(train_step, batch)
    peers = installed(method, METHODS[method](recipe, build_encoder(recipe.encoder), len(source)))
    pipelines = {
        OURS: ours(train_step, batch),
        **{name: theirs(peer, train_step, batch) for name, peer in peers.items()},
    }
    if train_step.device.type == "cpu" and train_step.precision == "bf16":
        in_fp32 = replace(recipe, train=replace(recipe.train, precision="fp32"))
        pipelines[IN_FP32] = ours(*ready(in_fp32, case, source))
    if train_step.device.type == "cuda":
        for network in train_step.method.compiled():
            network.compile(dynamic=False)
        for peer in peers.values():
            for encoder in (module for module in peer.modules() if isinstance(module, Encoder)):
                encoder.compile(dynamic=False)
    parts: dict[str, Step] = {NETWORKS: alone, UPDATE: Update(train_step, batch)}
    steps = {**parts, **{name: pipeline.step for name, pipeline in pipelines.items()}}
    times = take_turns(steps, train_step.device, seconds)
    medians = {name: statistics.median(samples) for name, samples in times.items() if samples}
    at = commit()

    def result(name: str, pipeline: Pipeline) -> TrainResult:
        ms = medians.get(name)
        extra = None if ms is None else extra_memory(pipeline.step, train_step.device)
        return TrainResult(
            case=str(case),
            method=method,
            pipeline=name,
            batch=case.batch_size,
            milliseconds=ms,
            images_per_second=None if ms is None else 1e3 * case.batch_size / ms,
            overhead=outside(times[NETWORKS], times[OURS]) if name == OURS else None,
            peak_bytes=None if extra is None else pipeline.held() + extra,
            calls=len(times[name]),
            commit=at,
            optimizer=medians[UPDATE] / ms if name == OURS and ms and UPDATE in medians else None,
        )

    return [result(name, pipeline) for name, pipeline in pipelines.items()]


def outside(networks: Sequence[float], steps: Sequence[float]) -> float | None:
    """Computes the share of a step outside the networks: the median of rounds that time both close together."""
    shares = [1 - alone / step for alone, step in zip(networks, steps, strict=False)]
    return statistics.median(shares) if shares else None


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--method", metavar="NAME", nargs="+", default=list(METHODS), help="(default: all)")
    parser.add_argument(
        "--seconds", metavar="S", type=float, default=SECONDS, help="a method is timed for (default: %(default)s)"
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="keep the results in this file, and a picture of them beside it"
    )
    args = parser.parse_args(argv)
    try:
        if unknown := [name for name in args.method if name not in METHODS]:
            raise UsageError(f"--method {unknown[0]}: no such method{nearest(unknown[0], METHODS)}")
        return run(args.method, args.seconds, args.json)
    except UsageError as error:
        print(f"bench-train: {error}", file=sys.stderr)
        return 2


def run(methods: Sequence[str], seconds: float, json_path: Path | None) -> int:
    """Measures the methods, prints their results and writes them; returns 1 if a method cannot be run."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    others = ", ".join(f"{package} {version}" for package, version in versions().items())
    header = {**describe(device), "command": PROGRAM, "other versions": others}
    record = TrainRecord(json_path, header)
    print("\n".join(f"{key}: {value}" for key, value in header.items()))
    failed = False
    for case in cases(device):
        source = noise(case)
        print(f"\n{case}, batches of {case.batch_size}\n{HEAD}", flush=True)
        for number, method in enumerate(methods, 1):
            print(f"{method}, {number} of {len(methods)}", file=sys.stderr, flush=True)
            try:
                results = measure(method, case, source, seconds)
            except UsageError as error:
                failed = True
                print(f"{method}: {error}", flush=True)
                continue
            print("\n".join(lines(results)), flush=True)
            record.add(results)
    if json_path is not None and record.results:
        draw(record.results, json_path.with_suffix(".png"))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
