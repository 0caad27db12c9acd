"""Images per second and memory of a training step of every method: `make bench-train`.

A step is everything from the views of a batch to the weights of the next one: networks, loss, backward pass,
optimizer, moving averages, queues. Beside ours stands the same method as users of other packages write it, where
they are installed, with the same encoder, heads, batch, views and precision. The pipelines of a method take turns,
step by step, and with them the networks alone (`train_networks`): the share of our step that they leave is its
overhead. The images are noise, and lie on the device; input pipelines are the matter of `bench_views`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sslfast.benchmarks.machine import describe, version
from sslfast.benchmarks.memory import extra_memory
from sslfast.benchmarks.timing import take_turns
from sslfast.benchmarks.train_cases import Case, cases, config, noise
from sslfast.benchmarks.train_networks import networks_alone
from sslfast.benchmarks.train_peers import Peer, build_optimizer, installed
from sslfast.data import Batch, Source
from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.run import RunDirectory
from sslfast.settings import nearest
from sslfast.train import Trainer, check

PROGRAM = "python -m sslfast.benchmarks.bench_train"
SECONDS = 10.0  # to spend on the timing of a method, about
NETWORKS = "networks alone"
OURS = "sslfast"


@dataclass(frozen=True)
class Result:
    case: str
    method: str
    pipeline: str
    batch: int
    milliseconds: float | None  # the median step; None: out of memory
    images_per_second: float | None
    overhead: float | None  # of ours: the share of the step outside the networks
    peak_bytes: int | None  # parameters, their gradients, the optimizer's state, buffers, and what a step adds
    calls: int


@dataclass(frozen=True)
class Pipeline:
    step: Callable[[], object]
    module: nn.Module
    optimizer: Optimizer

    def held(self) -> int:
        """Bytes of what it keeps from step to step."""
        return sum(tensor.nbytes for tensor in self._tensors())

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
    optimizer = build_optimizer(peer, trainer.config.optim, len(batch.index))

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=trainer.bf16):
            loss = peer.loss(batch.views)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        peer.after_step()

    return Pipeline(step, peer, optimizer)


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
        trainer.method.start_epoch(epoch, trainer.embed)
    batch = next(iter(trainer.loader.epoch(last)))
    alone = networks_alone(trainer, batch)
    peers = installed(method, METHODS[method](recipe, build_encoder(recipe.encoder), len(source)))
    pipelines = {
        OURS: ours(trainer, batch),
        **{name: theirs(peer, trainer, batch) for name, peer in peers.items()},
    }
    if trainer.device.type == "cuda":
        for network in trainer.method.compiled():
            network.compile()
        for peer in peers.values():
            for encoder in (module for module in peer.modules() if isinstance(module, Encoder)):
                encoder.compile()
    steps = {NETWORKS: alone, **{name: pipeline.step for name, pipeline in pipelines.items()}}
    times = take_turns(steps, trainer.device, seconds)
    medians = {name: statistics.median(samples) for name, samples in times.items() if samples}

    def result(name: str, pipeline: Pipeline) -> Result:
        ms = medians.get(name)
        known = ms is not None and name == OURS and NETWORKS in medians
        extra = None if ms is None else extra_memory(pipeline.step, trainer.device)
        return Result(
            case=str(case),
            method=method,
            pipeline=name,
            batch=case.batch,
            milliseconds=ms,
            images_per_second=None if ms is None else 1e3 * case.batch / ms,
            overhead=1 - medians[NETWORKS] / medians[OURS] if known else None,
            peak_bytes=None if extra is None else pipeline.held() + extra,
            calls=len(times[name]),
        )

    return [result(name, pipeline) for name, pipeline in pipelines.items()]


HEAD = f"{'method':<20}{'pipeline':<12}{'ms':>10}{'images/s':>11}{'x ours':>9}{'overhead':>10}{'MiB':>9}"


def lines(results: Sequence[Result]) -> Iterator[str]:
    """Of a method's results."""

    def cell(value: float | None, form: str) -> str:
        return "-" if value is None else form.format(value)

    base = next(r.images_per_second for r in results if r.pipeline == OURS)
    for r in results:
        ratio = r.images_per_second / base if r.images_per_second and base else None
        yield (
            f"{r.method:<20}{r.pipeline:<12}{cell(r.milliseconds, '{:.1f}').replace('-', 'OOM'):>10}"
            f"{cell(r.images_per_second, '{:,.0f}'):>11}{cell(ratio, '{:.2f}'):>9}"
            f"{cell(r.overhead, '{:.0%}'):>10}{cell(r.peak_bytes and r.peak_bytes / 2**20, '{:,.0f}'):>9}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--method", metavar="NAME", nargs="+", default=list(METHODS), help="(default: all)")
    parser.add_argument(
        "--seconds", metavar="S", type=float, default=SECONDS, help="a method is timed for (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results and what they depend on")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.method if name not in METHODS]:
        print(f"bench_train: --method {unknown[0]}: no such method{nearest(unknown[0], METHODS)}", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    others = f"lightly {version('lightly') or 'missing'}"
    header = {**describe(device), "command": PROGRAM, "other versions": others}
    print("\n".join(f"{key}: {value}" for key, value in header.items()))
    results, failed = [], False
    for case in cases(device):
        source = noise(case)
        print(f"\n{case}, batches of {case.batch}\n{HEAD}", flush=True)
        for method in args.method:
            try:
                found = measure(method, case, source, args.seconds)
            except UsageError as error:
                failed = True
                print(f"{method}: {error}", flush=True)
                continue
            print("\n".join(lines(found)), flush=True)
            results += found
    if args.json:
        content = {"header": header, "results": [asdict(result) for result in results]}
        args.json.write_text(json.dumps(content, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
