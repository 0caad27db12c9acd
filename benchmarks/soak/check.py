"""Kills a run again and again, and watches a long one: `make soak`.

The first is a run of two processes on the CPU, of which `kill -9` ends one or all at random times, or rank 0 at a
random byte of a checkpoint. Each time it is resumed; what it has is compared, to the bit, with a run that is left
alone. The second is a run of 2,000 steps, whose memory, file descriptors and threads are to stay as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from sslfast.benchmarks.measure.machine import RESULTS, describe, machine_name
from sslfast.benchmarks.soak.kills import survive
from sslfast.benchmarks.soak.steady import is_flat, watch
from sslfast.run.atomic import atomic_write

PROGRAM = "python -m sslfast.benchmarks.soak.check"
CPU = torch.device("cpu")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--kills", metavar="N", type=int, default=52, help="(default: %(default)s)")
    parser.add_argument("--ranks", metavar="N", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument(
        "--steps", metavar="N", type=int, default=2000, help="of the long run (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of the kills' times (default: %(default)s)"
    )
    default = RESULTS / machine_name(CPU) / "soak.json"
    parser.add_argument("--json", metavar="FILE", type=Path, default=default, help="(default: %(default)s)")
    args = parser.parse_args(argv)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        kills = survive(Path(folder) / "kills", args.kills, args.ranks, args.seed)
        held = watch(Path(folder) / "steady", args.steps)
    record = {
        "header": {**describe(CPU), "command": PROGRAM},
        "ranks": args.ranks,
        "kills": kills,
        "steps": args.steps,
        "held": held,
        "flat": is_flat(held),
        "minutes": round((time.monotonic() - start) / 60, 1),
    }
    print(json.dumps(record, indent=1))
    with atomic_write(args.json) as file:
        file.write((json.dumps(record, indent=1) + "\n").encode())
    return int(not record["flat"])


if __name__ == "__main__":
    sys.exit(main())
