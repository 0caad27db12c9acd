"""MNCL's tables on CIFAR-10, really run: `make reproduce`, or `python -m sslfast.benchmarks.reproduce.run`.

By default in small, which two CPU cores do in less than two hours: the seven methods of table 1 by the paper's one
protocol scaled down (see `tables`), two seeds each, and the ablations of tables 2 and 3 for one. SCALE=full is the
published protocol, for GPUs. A result is kept as soon as it is there, and what was interrupted goes on where it
was: the command may be stopped and started again. Leaves reproduce-<scale>.json and .png in
benchmarks/results/<machine>/.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sslfast.benchmarks.measure.machine import RESULTS, describe, machine_name
from sslfast.benchmarks.reproduce.plot import draw
from sslfast.benchmarks.reproduce.record import content, path_of, read_run
from sslfast.benchmarks.reproduce.tables import SMALL, SMALL_PROBE, full, small
from sslfast.commands.sweep import sweep
from sslfast.data.sources.names import listed
from sslfast.errors import TrainingError, UsageError
from sslfast.hints import nearest
from sslfast.run.atomic import atomic_write
from sslfast.sweep.commands import commands
from sslfast.sweep.grid import Sweep, cells

SCALES = ("small", "full")
PROGRAM = "python -m sslfast.benchmarks.reproduce.run"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10" / "train.tar.xz"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default=os.environ.get("SCALE") or "small")
    parser.add_argument(
        "--quick", action="store_true", help="two methods for a second each: does the command work?"
    )
    parser.add_argument(
        "--data",
        metavar="PATH|NAME",
        help="labeled images (default: torchvision's CIFAR10; in small $SSLFAST_CIFAR10, else ../shared's)",
    )
    parser.add_argument("--seeds", metavar="N", type=int, default=2, help="of table 1, in small (default: 2)")
    parser.add_argument(
        "--row", metavar="NAME", nargs="+", help="of the record, to be made in place of what it has (default: all)"
    )
    parser.add_argument("--devices", metavar="0,1", help="(default: a GPU, else a run at a time on each core)")
    parser.add_argument("--runs", metavar="DIR", type=Path, help="(default: runs/reproduce-<scale>)")
    parser.add_argument("--out", metavar="FILE", type=Path, help="(default: in benchmarks/results/<machine>/)")
    args = parser.parse_args(argv)
    try:
        return run(args)
    except UsageError as error:
        print(f"reproduce: {error}", file=sys.stderr)
        return 2


def default_data(scale: str) -> str:
    """Names the images where no one does; in small those of the training split, of which half are held out."""
    if scale == "full":
        return "CIFAR10"
    return os.environ.get("SSLFAST_CIFAR10") or (os.path.relpath(SHARED) if SHARED.exists() else "CIFAR10:train")


def run(args: argparse.Namespace) -> int:
    """Makes the runs that lack, and records all that are finished; returns 1 where one has failed."""
    if args.scale not in SCALES:  # of the environment, which argparse does not check
        raise UsageError(f"SCALE={args.scale}: expected {' or '.join(SCALES)}")
    name = "quick" if args.quick else args.scale
    sweeps = full() if args.scale == "full" else small(seeds=args.seeds, quick=args.quick)
    if args.row:
        sweeps = chosen_rows(sweeps, args.row)
    data, runs = args.data or default_data(args.scale), args.runs or Path("runs") / f"reproduce-{name}"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cores = ["cpu"] * len(os.sched_getaffinity(0))
    devices = args.devices.split(",") if args.devices else ["0"] if device.type == "cuda" else cores
    out = args.out or (runs / "quick.json" if args.quick else path_of(RESULTS, machine_name(device), name))
    scale = {"evaluate": SMALL_PROBE, **SMALL} if args.scale == "small" else {"protocol": "as published"}
    header = {**describe(device), "command": f"{PROGRAM} --scale {name}"}
    earlier = json.loads(out.read_text()) if args.row and out.exists() else None
    if earlier is not None and earlier["scale"] != scale:
        raise UsageError(f"{out}: holds runs of other settings; choose another --out")
    found, failed = [], []
    for folder, chosen in sweeps.items():
        try:
            print(sweep(chosen, runs / folder, data=data, devices=devices))
        except TrainingError as error:
            failed.append(str(error))
        for cell in cells(chosen):
            made = commands(cell, runs / folder, listed(data), [], chosen.evaluate)
            if (result := read_run(cell, made)) is not None:
                found.append(result)
        record = content(header, scale, found, earlier)
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as file:
            file.write((json.dumps(record, indent=1) + "\n").encode())
        if any(each.knn for each in found):
            draw(record, out.with_suffix(".png"))
    for reason in failed:
        print(reason, file=sys.stderr)
    return int(bool(failed))


def chosen_rows(sweeps: Mapping[str, Sweep], names: Sequence[str]) -> dict[str, Sweep]:
    """Returns the sweeps with these rows alone.

    Raises:
        UsageError: there is no such row.
    """
    known = [name for each in sweeps.values() for name in each.rows]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--row {unknown[0]!r}: no such row{nearest(unknown[0], known)}")
    chosen = {}
    for folder, each in sweeps.items():
        if rows := {name: each.rows[name] for name in names if name in each.rows}:
            chosen[folder] = replace(each, rows=rows)
    return chosen


if __name__ == "__main__":
    sys.exit(main())
