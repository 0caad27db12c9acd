"""The check of every protocol: `make downstream-check`, or `python -m sslfast.benchmarks.downstream.check`.

Pre-trains a small encoder on the photographs of Imagenette, and another one with labels, and judges the first by
every protocol beside the second and beside random weights, each with a short schedule: it shows that all of them
run and learn, not what a method is worth. A result is kept as soon as it is there, and what was interrupted goes
on where it was: the command may be stopped and started again. Leaves downstream.json; the exit status is 1 where
an evaluation does not put the pre-trained encoder above random weights, or of detection and segmentation, where a
network is not above the same before training.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sslfast.benchmarks.downstream.commands import COMMANDS, PRETRAIN, SUPERVISED, UNTRAINED
from sslfast.benchmarks.downstream.objects import write_objects
from sslfast.benchmarks.measure.machine import RESULTS, describe, machine_name
from sslfast.evaluation.result import Evaluation
from sslfast.run.atomic import atomic_write

PROGRAM = "python -m sslfast.benchmarks.downstream.check"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
ENCODERS = PRETRAINED, RANDOM, _ = "pre-trained", "random initialization", "supervised"
MEASURES = {"knn": "top1", "linear": "top1", "finetune": "top1", "detect": "ap50", "segment": "miou"}


def places(data: Path, runs: Path) -> dict[str, str]:
    """Names what stands for `{...}` in the commands."""
    return {
        "runs": str(runs),
        "imagenette": str(data / "imagenette160" / "train-0.tar.xz"),
        "imagenette_val": str(data / "imagenette160" / "val.tar.xz"),
        "objects": str(runs / "objects"),
    }


def run(words: Sequence[str]) -> int:
    """Runs the command line with these arguments; returns its exit code."""
    return subprocess.run([sys.executable, "-m", "sslfast", *words], check=False).returncode


def pretrain(command: str) -> int:
    """Pre-trains by a command, or goes on with what it left."""
    words = shlex.split(command)
    out = Path(words[words.index("--out") + 1])
    resume = ["--resume"] if (out / "config.yaml").exists() else []
    return run([*words[1:], *resume])


def results(folder: Path) -> Iterator[Evaluation]:
    """Loads the results of an encoder's evaluations so far."""
    for path in sorted(folder.glob("*.json")):
        yield Evaluation.load(path)


def find(folder: Path, command: str) -> Evaluation | None:
    """Finds the result that a command left; None: there is none."""
    words = shlex.split(command)
    return next((found for found in results(folder) if shlex.split(found.command or "") == words), None)


def entry(command: str, evaluation: Evaluation) -> dict[str, Any]:
    """Makes a result as the record has it, without the classes that were taken for others."""
    content = dataclasses.asdict(evaluation)
    content["rows"] = [{key: value for key, value in row.items() if key != "confusion"} for row in content["rows"]]
    return {**content, "command": command}


def best(evaluation: dict[str, Any], encoder: str) -> float:
    """Returns the measure of an evaluation by which an encoder is compared: its best row's mean over the seeds."""
    measure = MEASURES[evaluation["kind"]]
    return max(row[measure] for row in evaluation["rows"] if row["encoder"] == encoder)


def not_learned(entries: Sequence[dict[str, Any]]) -> list[str]:
    """Lists the evaluations that do not show what they are there to show, and how."""
    untrained = {each["kind"]: each for each in entries if each["command"] in UNTRAINED.values()}
    found = []
    for each in entries:
        start = untrained.get(each["kind"])
        if start is None:
            if best(each, PRETRAINED) <= best(each, RANDOM):
                found.append(f"not above random weights: {each['command']}")
        elif each is not start and any(best(each, encoder) <= best(start, encoder) for encoder in ENCODERS):
            found.append(f"not above the network before training: {each['command']}")
    return found


def write(path: Path, header: dict[str, str], entries: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write((json.dumps({"header": header, "results": entries}, indent=1) + "\n").encode())


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        default=os.path.relpath(SHARED),
        help="with imagenette160/ and coco128/",
    )
    parser.add_argument("--runs", metavar="DIR", type=Path, default=Path("runs/downstream-check"))
    parser.add_argument("--out", metavar="FILE", type=Path, help="(default: downstream.json of this machine)")
    args = parser.parse_args(argv)
    named = places(args.data, args.runs)
    write_objects(args.data / "coco128" / "coco128-seg.tar.xz", Path(named["objects"]))
    for command in (PRETRAIN, SUPERVISED):
        if code := pretrain(command.format(**named)):
            return code
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    out = args.out or RESULTS / machine_name(device) / "downstream.json"
    header, entries = {**describe(device), "command": PROGRAM}, []
    folder = args.runs / "simclr" / "evaluation"
    for template in tqdm(COMMANDS, "protocols", unit="protocol", disable=None):
        command = template.format(**named)
        found = find(folder, command)
        if found is None:
            if code := run(shlex.split(command)[1:]):
                return code
            found = find(folder, command)
        assert found is not None
        entries.append(entry(template, found))
        write(out, header, entries)
    reasons = not_learned(entries)
    for reason in reasons:
        print(reason)
    return int(bool(reasons))


if __name__ == "__main__":
    sys.exit(main())
