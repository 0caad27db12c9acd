"""Images per second and memory of a training step of every method: `make bench-train`.

A step is everything from the views of a batch to the weights of the next one: networks, loss, backward pass,
optimizer, moving averages, queues. Beside ours stands the same method as users of other packages write it, where
they are installed, with the same encoder, heads, batch, views and precision. The pipelines of a method take turns,
step by step, and with them the networks alone (`train_networks`): the share of our step that they leave is its
overhead. The images are noise, and lie on the device; input pipelines are the matter of `bench_views`. On 2 CPU
cores all methods take about half an hour; each is recorded as soon as it is measured.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sslfast.benchmarks.measure.machine import commit, describe
from sslfast.benchmarks.measure.memory import extra_memory
from sslfast.benchmarks.measure.timing import take_turns
from sslfast.benchmarks.train import plot as train_plot
from sslfast.benchmarks.train.cases import Case, cases, config, noise
from sslfast.benchmarks.train.networks import networks_alone
from sslfast.benchmarks.train.peers import Peer, build_optimizer, installed, versions
from sslfast.benchmarks.train.record import HEAD, OURS, Record, Result, lines
from sslfast.config.settings import nearest
from sslfast.data import Batch, Source
from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.methods.base import Embed
from sslfast.recipes.check import check
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer

PROGRAM = "python -m sslfast.benchmarks.train.bench"
SECONDS = 40.0  # to spend on the timing of a method, about; with fewer rounds its overhead is noise on a CPU
NETWORKS = "networks alone"


@dataclass(frozen=True)
class Pipeline:
    step: Callable[[], object]
    module: nn.Module
    optimizer: Optimizer

    def held(self) -> int:
        """Bytes of what it keeps from step to step."""
        memory = (tensor.untyped_storage() for tensor in self._tensors())
        return sum({storage.data_ptr(): storage.nbytes() for storage in memory}.values())

    def _tensors(self) -> Iterator[Tensor]:
        for parameter in self.module.parameters():
            yield from (parameter, *(() if parameter.grad is None else (parameter.grad,)))
            yield from (x for x in self.optimizer.state[parameter].values() if isinstance(x, Tensor))
        yield from self.module.buffers()


def ours(trainer: Trainer, batch: Batch) -> Pipeline:
    return Pipeline(lambda: trainer.train_step(batch), trainer.method, trainer.optimizer)


def theirs(peer: Peer, trainer: Trainer, batch: Batch) -> Pipeline:
    """In the trainer's precision and on its device."""
    device = trainer.device
    peer.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(peer, trainer.recipe.optim, len(batch.index))

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=trainer.bf16):
            loss = peer.loss(batch.views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        peer.after_step()

    return Pipeline(step, peer, optimizer)


def embeddings(trainer: Trainer, case: Case) -> Embed:
    """Random vectors in place of the images' embeddings, which some methods cluster before an epoch."""

    def embed(network: nn.Module) -> tuple[Tensor, Tensor]:
        was_training = network.training
        with torch.no_grad():
            few = network.eval()(torch.randn(1, 3, case.size, case.size, device=trainer.device))
        network.train(was_training)
        return torch.randn(case.images, few.shape[1], device=trainer.device), torch.arange(case.images)

    return embed


def measure(method: str, case: Case, source: Source, seconds: float) -> list[Result]:
    """Times a method's pipelines; compiled as the trainer does it on a GPU, ours and the others'.

    Raises:
        UsageError: the method cannot be run like this.
    """
    torch.compiler.reset()
    recipe = config(method, case)
    check(recipe)
    trainer = Trainer(recipe, RunDirectory(Path("none")), source)  # writes nothing
    last = recipe.train.epochs - 1  # by which every part of a method is at work
    for epoch in (0, last):
        trainer.method.start_epoch(epoch, embeddings(trainer, case))
    batch = next(iter(trainer.loader.epoch(last)))
    alone = networks_alone(trainer, batch)
    peers = installed(method, METHODS[method](recipe, build_encoder(recipe.encoder), len(source)))
    pipelines = {
        OURS: ours(trainer, batch),
        **{name: theirs(peer, trainer, batch) for name, peer in peers.items()},
    }
    if trainer.device.type == "cuda":
        for network in trainer.method.compiled():
            network.compile(dynamic=False)
        for peer in peers.values():
            for encoder in (module for module in peer.modules() if isinstance(module, Encoder)):
                encoder.compile(dynamic=False)
    steps = {NETWORKS: alone, **{name: pipeline.step for name, pipeline in pipelines.items()}}
    times = take_turns(steps, trainer.device, seconds)
    medians = {name: statistics.median(samples) for name, samples in times.items() if samples}
    at = commit()

    def result(name: str, pipeline: Pipeline) -> Result:
        ms = medians.get(name)
        extra = None if ms is None else extra_memory(pipeline.step, trainer.device)
        return Result(
            case=str(case),
            method=method,
            pipeline=name,
            batch=case.batch,
            milliseconds=ms,
            images_per_second=None if ms is None else 1e3 * case.batch / ms,
            overhead=outside(times[NETWORKS], times[OURS]) if name == OURS else None,
            peak_bytes=None if extra is None else pipeline.held() + extra,
            calls=len(times[name]),
            commit=at,
        )

    return [result(name, pipeline) for name, pipeline in pipelines.items()]


def outside(networks: Sequence[float], steps: Sequence[float]) -> float | None:
    """The share of a step outside the networks: the median of the rounds, in which the two ran close together."""
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
        print(f"bench_train: {error}", file=sys.stderr)
        return 2


def run(methods: Sequence[str], seconds: float, json_path: Path | None) -> int:
    """Measures, prints and keeps; returns 1 if a method cannot be run."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    others = ", ".join(f"{package} {version}" for package, version in versions().items())
    header = {**describe(device), "command": PROGRAM, "other versions": others}
    record = Record(json_path, header)
    print("\n".join(f"{key}: {value}" for key, value in header.items()))
    failed = False
    for case in cases(device):
        source = noise(case)
        print(f"\n{case}, batches of {case.batch}\n{HEAD}", flush=True)
        for number, method in enumerate(methods, 1):
            print(f"{method}, {number} of {len(methods)}", file=sys.stderr, flush=True)
            try:
                found = measure(method, case, source, seconds)
            except UsageError as error:
                failed = True
                print(f"{method}: {error}", flush=True)
                continue
            print("\n".join(lines(found)), flush=True)
            record.add(found)
    if json_path is not None and record.results:
        train_plot.draw(record.results, json_path.with_suffix(".png"))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
