"""Images per second of the extraction of features: `make bench-features`.

Ours, `sslfast.evaluation.features.features` as the commands call it, beside the loop that a careful user writes
(`reference`), with the same images, the same encoder with random weights, and all cores: in fp32, and in bf16 (the
reference by autocast) where the CPU multiplies in it, which ours then does by default. They take turns, round by
round, a whole pass each, from files or arrays to features; the median round is reported. Both bring images to the
same sides; photographs are decoded and resized by DALI in ours, by Pillow in the reference, which differ by
levels: the least cosine of an image's two features is recorded, and less than 0.999, in bf16 0.99, is an error.

Beside the ratio of the times stands that of the processor's time, of all threads and processes: it hardly depends
on what else the machine does. Where the convolutions bound both, their share of each one's time says so, which
PyTorch's profiler measures in a pass before the rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from sslfast.benchmarks.features.cases import CASES, KINDS, FeaturesCase, images_of, open_kind
from sslfast.benchmarks.features.reference import reference
from sslfast.benchmarks.measure.machine import describe, version
from sslfast.data import Source
from sslfast.device import DTYPES, Precision, choose_precision
from sslfast.errors import UsageError
from sslfast.evaluation.features import features

ROUNDS = 3
LEAST_COSINE: dict[Precision, float] = {"fp32": 0.999, "bf16": 0.99}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class FeaturesResult:
    """The speed of both in one case, the medians of the rounds."""

    case: str
    precision: Precision
    images: int
    reference: float  # images a second
    ours: float
    ratio: float
    processor_ratio: float  # of the processor's time
    seconds: dict[str, list[float]]  # of each round
    cosine: float  # the least of an image's two features
    convolutions: dict[str, float]  # share of the time


def measure(case: FeaturesCase, precision: Precision, source: Source, rounds: int) -> FeaturesResult:
    """Times both in a case and a precision, and prints a line.

    Raises:
        UsageError: their features differ.
    """
    encoder, data, images = case.build(), case.data(), images_of(case, source)
    dtype = DTYPES[precision]
    passes: dict[str, Callable[[], Tensor]] = {
        "reference": lambda: reference(encoder, images, data, case.batch_size, dtype),
        "ours": lambda: features(encoder, images, data, CPU, compute_dtype=dtype)[0],
    }
    found, convolutions = {}, {}
    for name, embed in passes.items():
        found[name], convolutions[name] = profiled(embed)
    cosine = F.cosine_similarity(found["ours"], found["reference"]).min().item()
    if cosine < LEAST_COSINE[precision]:
        raise UsageError(f"{case.name}: an image's features have a cosine of {cosine:.5f} to the reference's")
    seconds: dict[str, list[float]] = {name: [] for name in passes}
    busy: dict[str, list[float]] = {name: [] for name in passes}
    for number in range(rounds):
        for name in sorted(passes, reverse=number % 2 == 0):
            start, start_busy = time.perf_counter(), processor_seconds()
            passes[name]()
            seconds[name].append(time.perf_counter() - start)
            busy[name].append(processor_seconds() - start_busy)
    typical = {name: statistics.median(times) for name, times in seconds.items()}
    result = FeaturesResult(
        case.name,
        precision,
        case.images,
        reference=case.images / typical["reference"],
        ours=case.images / typical["ours"],
        ratio=typical["reference"] / typical["ours"],
        processor_ratio=statistics.median(busy["reference"]) / statistics.median(busy["ours"]),
        seconds=seconds,
        cosine=cosine,
        convolutions=convolutions,
    )
    print(
        f"{case.name:<50} {precision} {result.ours:>8,.1f} images/s {result.ratio:>5.2f}x "
        f"({result.processor_ratio:.2f}x of the processor's time), "
        f"convolutions {convolutions['ours']:.0%} ({convolutions['reference']:.0%})",
        flush=True,
    )
    return result


def profiled(embed: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Returns a pass's features, and the share of its time that the encoder's thread is in a convolution."""
    start = time.perf_counter()
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiler:
        found = embed()
        seconds = time.perf_counter() - start
    convolutions = (event for event in profiler.key_averages() if "convolution" in event.key)
    return found, sum(event.self_cpu_time_total for event in convolutions) / 1e6 / seconds


def processor_seconds() -> float:
    """Sums the processor's time of this process and of those that it started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sslfast.benchmarks.features.bench", description=__doc__)
    for kind in KINDS:
        parser.add_argument(
            f"--{kind.replace(' ', '-')}", metavar="PATH", help="a folder or an archive (default: drawn ones)"
        )
    parser.add_argument("--case", metavar="WORDS", default="", help="only cases whose name has these words")
    parser.add_argument("--rounds", metavar="N", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results and what they depend on")
    args = parser.parse_args(argv)
    cases = [case for case in CASES if args.case in case.name]
    try:
        if not cases:
            raise UsageError(f"--case {args.case}: no case has these words; there are: {names()}")
        with tempfile.TemporaryDirectory() as folder:
            given = {kind: getattr(args, kind.replace(" ", "_")) for kind in KINDS}
            opened = {kind: open_kind(kind, path, Path(folder)) for kind, path in given.items()}
            others = ("torchvision", "nvidia-dali-cuda130", "pillow")
            header = {
                **describe(CPU),
                "command": parser.prog,
                **{kind: origin for kind, (_, origin) in opened.items()},
                "other versions": ", ".join(f"{name} {version(name) or 'missing'}" for name in others),
            }
            print("\n".join(f"{key}: {value}" for key, value in header.items()))
            results = []
            for case, precision in itertools.product(cases, precisions()):
                results.append(measure(case, precision, opened[case.kind][0], args.rounds))
                if args.json:
                    content = {"header": header, "results": [asdict(result) for result in results]}
                    args.json.write_text(json.dumps(content, indent=1) + "\n")
    except UsageError as error:
        print(f"bench-features: {error}", file=sys.stderr)
        return 2
    return 0


def precisions() -> tuple[Precision, ...]:
    """Names the precisions that are measured here."""
    return ("fp32", "bf16") if choose_precision("auto", CPU.type) == "bf16" else ("fp32",)


def names() -> str:
    return "; ".join(case.name for case in CASES)


if __name__ == "__main__":
    sys.exit(main())
