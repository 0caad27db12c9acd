"""The environment of a run: when it was started or resumed, on what images, hardware and versions.

A run's environment.jsonl has one JSON object a line, a `Start`, for each time that the run was started or resumed.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sslfast.distributed import world_size
from sslfast.errors import TrainingError, UsageError

PACKAGES = ("sslfast", "torch", "torchvision", "triton", "nvidia-dali-cuda130", "nvidia-dali-cuda120", "timm")


@dataclass(frozen=True)
class Start:
    """A start, or a resumption, of a run.

    Attributes:
        date: the time in UTC, ISO 8601.
        step: the steps that were done before it.
        device: the accelerator's name, or "CPU".
        cpu: the processor's name.
        threads: the CPU threads of a process.
        processes: the processes that shared the run.
        system: the operating system.
        versions: the versions of Python and of the packages that were installed, by name, and of torch's CUDA.
        train_images: the number of images trained on.
        held_out_images: the number of labeled images held out.
        epochs: the epochs that it was to come to: more than at the start before where the run was extended; None:
            not recorded, by an earlier sslfast.
        initial_weights: `weights_digest` of the encoder by `encoder.weights`, where it started from that; None: it
            started from random weights, or went on from a checkpoint.
    """

    date: str
    step: int
    device: str
    cpu: str
    threads: int
    processes: int
    system: str
    versions: dict[str, str]
    train_images: int
    held_out_images: int
    epochs: int | None = None
    initial_weights: str | None = None


def record_start(
    path: Path,
    device: torch.device,
    step: int,
    train_images: int,
    held_out_images: int,
    *,
    epochs: int,
    initial_weights: str | None,
) -> None:
    """Appends the present `Start` to an environment.jsonl.

    Raises:
        TrainingError: the file cannot be written.
    """
    start = Start(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        step=step,
        device=device_name(device),
        cpu=cpu_name(),
        threads=torch.get_num_threads(),
        processes=world_size(),
        system=f"{platform.system()} {platform.machine()}",
        versions=versions(),
        train_images=train_images,
        held_out_images=held_out_images,
        epochs=epochs,
        initial_weights=initial_weights,
    )
    try:
        with path.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(start)) + "\n")
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot write the environment ({error.strerror}): make room, and continue with --resume"
        ) from error


def read_starts(path: Path) -> list[Start]:
    """Reads the starts of a run, oldest first; without damaged lines, and none of a run that has no such record.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{path}: cannot read the starts of the run: {error.strerror}") from error
    adapter, starts = TypeAdapter(Start), []
    for line in lines:
        try:
            starts.append(adapter.validate_json(line))
        except ValidationError:  # a killed run may leave half a line
            continue
    return starts


def versions() -> dict[str, str]:
    """Lists the versions of Python, of the PACKAGES that are installed, and of torch's CUDA, by name."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | ({"CUDA": torch.version.cuda} if torch.version.cuda else {})


def device_name(device: torch.device) -> str:
    """Returns the accelerator's name, or "CPU"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def source_commit() -> str | None:
    """Finds the `commit` of the checkout that sslfast runs from; None where it is installed."""
    root = Path(__file__).resolve().parents[2]
    return commit(root) if (root / ".git").exists() else None


def commit(folder: Path, apart_from: str | None = None) -> str | None:
    """Finds the commit of the checkout that holds a folder, "-dirty" where it differs; None where git knows none.

    Args:
        folder: in the checkout.
        apart_from: a path in the folder whose changes do not count.
    """
    git = ["git", "-C", str(folder)]
    paths = [":/", *([f":(exclude){apart_from}"] if apart_from else [])]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *paths], check=False)
    except (OSError, subprocess.CalledProcessError):
        return None
    return name.stdout.strip() + ("-dirty" if changed.returncode else "")


def cpu_name() -> str:
    """Finds the processor's name."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()
