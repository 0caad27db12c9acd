"""Images per second of whole input pipelines: `make bench-views`, or `python -m sslfast.benchmarks.views.bench`.

Two cases, each with two views of an image: photographs in files (MoCo v2's views of 224 pixels), and small
images in memory (those of CIFAR's recipe, 32 pixels). From the source to normalized float32 views on the device,
so decoding is in it where there is something to decode.

The pipelines take turns, round by round. In its turn one is started, gives batches until what was prepared ahead
of the first is used up, is timed, and is ended with all its threads and processes before the next one starts. The
median round is reported. It is no `ops.benchmark.Benchmark`, whose providers must be idle between two calls.

On a GPU, then, the share that training loses to its input: see `input_share`. Each case's results are written as
soon as they are there; one that cannot be measured, as photographs without DALI, leaves the exit status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sslfast.benchmarks.measure.machine import describe, version
from sslfast.benchmarks.views import input_share
from sslfast.benchmarks.views.pipelines import Pipeline, array_pipelines, photograph_pipelines, rate
from sslfast.config import DataConfig
from sslfast.data import Source, open_source
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe

ROUNDS = 3
SECONDS = 4.0  # of a pipeline in a round
BASE = "torchvision, tensors"  # what the ratios are to
ENVIRONMENT = "SSLFAST_PHOTOGRAPHS"
DRAWN = 64  # photographs that are drawn where there are none
LINKS = 64  # names for each, so that an epoch is not over at once
SIZE = (500, 375)  # pixels, about ImageNet's mean


@dataclass(frozen=True)
class ViewsCase:
    """Images, the views that are made of them, and the pipelines that make them."""

    name: str
    source: Source
    data: DataConfig
    pipelines: dict[str, Pipeline]


@dataclass(frozen=True)
class ViewsResult:
    """The speed of one pipeline in one case."""

    recipe: str  # the name of the case
    pipeline: str
    images_per_second: float  # the median round's; as many images give `views` times as many views
    views: int
    ratio: float  # to torchvision's on tensors
    rounds: list[float]


def photographs(name: str | None, folder: Path) -> tuple[Source, str]:
    """Opens the photographs to read and their description: those of `name`, else drawn ones in the folder."""
    if name:
        source = open_source(name)
        if source.paths is None:
            raise UsageError(f"--data {name}: expected image files, got an array")
        with_sizes = [Image.open(path).size for path in source.paths[:: max(1, len(source) // 200)]]
        width, height = np.median(with_sizes, axis=0).astype(int)
        return source, f"{len(source)} files of {Path(name).name}, median {width}x{height}"
    random = np.random.default_rng(0)
    for number in range(DRAWN):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        grain = random.normal(0, 8, (SIZE[1], SIZE[0], 3))
        pixels = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC)) + grain
        first = folder / f"{number:02}-00.jpg"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(first, quality=90)
        for link in range(1, LINKS):
            os.link(first, folder / f"{number:02}-{link:02}.jpg")
    return open_source(str(folder)), f"none given by --data or {ENVIRONMENT}: drawn ones of {SIZE[0]}x{SIZE[1]}"


def cases(photos: Source) -> list[ViewsCase]:
    noise = np.random.default_rng(0).integers(0, 256, (50_000, 32, 32, 3), dtype=np.uint8)
    large = dataclasses.replace(load_recipe("moco_v2").data, size=224, batch_size=64)
    small = dataclasses.replace(load_recipe("moco_v2_cifar10").data, batch_size=512)
    return [
        ViewsCase("photographs, 224", photos, large, photograph_pipelines()),
        ViewsCase("CIFAR, 32", Source("noise", images=noise), small, array_pipelines()),
    ]


def measure(case: ViewsCase, seconds: float, device: torch.device) -> list[ViewsResult]:
    """Times every pipeline of a case, and prints a table."""
    rounds: dict[str, list[float]] = {name: [] for name in case.pipelines}
    for _ in range(ROUNDS):
        for name, pipeline in case.pipelines.items():
            with contextlib.closing(pipeline(case.source, case.data, device)) as views:
                rounds[name].append(case.data.batch_size * rate(views, seconds, device))
    medians = {name: statistics.median(rates) for name, rates in rounds.items()}
    print(f"\n{case.name}, {len(case.data.views)} views, batches of {case.data.batch_size}")
    results = []
    for name, median in medians.items():
        ratio = median / medians[BASE]
        spread = f"{min(rounds[name]):,.0f} to {max(rounds[name]):,.0f}"
        print(f"{name:<24}{median:>12,.0f} images/s{ratio:>9.2f}x   ({spread})", flush=True)
        results.append(ViewsResult(case.name, name, median, len(case.data.views), ratio, rounds[name]))
    return results


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sslfast.benchmarks.views.bench", description=__doc__)
    parser.add_argument(
        "--data",
        metavar="PATH",
        default=os.environ.get(ENVIRONMENT),
        help=f"photographs: a folder or an archive (default: ${ENVIRONMENT}, else drawn ones)",
    )
    parser.add_argument(
        "--seconds", metavar="S", type=float, default=SECONDS, help="each is timed for (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results and what they depend on")
    args = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with tempfile.TemporaryDirectory() as folder:
            source, origin = photographs(args.data, Path(folder))
            others = ("torchvision", "nvidia-dali-cuda130", "pillow", "kornia")
            header = {
                **describe(device),
                "command": parser.prog,
                "photographs": origin,
                "other versions": ", ".join(f"{name} {version(name) or 'missing'}" for name in others),
            }
            print("\n".join(f"{key}: {value}" for key, value in header.items()))
            content: dict[str, Any] = {"header": header, "results": [], "training": []}

            runs: list[tuple[str, Callable[[], list[Any]]]] = [
                ("results", partial(measure, case, args.seconds, device)) for case in cases(source)
            ]
            for training in input_share.cases(source) if device.type == "cuda" else ():
                runs.append(("training", partial(input_share.measure, *training, args.seconds)))
            failed = False
            for kind, run in runs:
                try:
                    content[kind] += map(asdict, run())
                except UsageError as error:  # without DALI small images can be measured still
                    print(f"bench-views: {error}", file=sys.stderr)
                    failed = True
                if args.json:
                    args.json.write_text(json.dumps(content, indent=1) + "\n")
    except UsageError as error:
        print(f"bench-views: {error}", file=sys.stderr)
        return 2
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
