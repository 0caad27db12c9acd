"""`sslfast info`: versions, extras, the devices here, and which kernels run on them or why not."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence

import torch

from sslfast.extras import EXTRAS, dali_extra, install, missing
from sslfast.kernels.common.op import MISSING, OPS, Op

PACKAGES = ("sslfast", "torch", "numpy", "triton")
IMPLS = ("cpp", "triton", "triton_tma", "cuda", "reference")


def describe() -> str:
    """Lists versions, extras, devices, and a table of ops by implementation, as text to read.

    The table says on which of the devices here an implementation runs. One that could not be loaded is "missing":
    below the table stands, once, why, and how to get it.
    """
    return "\n\n".join((_versions(), _extras(), _devices(), _kernels()))


def _versions() -> str:
    rows = [("python", platform.python_version())]
    rows += [(package, _version(package) or f"not installed; pip install {package}") for package in PACKAGES]
    rows += [("CUDA of torch", torch.version.cuda or "none: this torch is a CPU build")]
    return "Versions\n" + _table(rows)


def _extras() -> str:
    """Lists the versions of each extra's packages, or what is missing of it and how to get it."""
    rows = []
    for extra, modules in EXTRAS.items():
        if extra in ("dali12", "dali13") and extra != dali_extra():
            continue
        absent = missing(extra)
        versions = ", ".join(f"{package} {_version(package) or 'unknown'}" for package in modules.values())
        rows.append((extra, f"{', '.join(absent)} missing; {install(extra)}" if absent else versions))
    return "Extras\n" + _table(rows)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> str:
    rows = [("CPU", f"{platform.machine()}, {torch.get_num_threads()} threads")]
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        memory = f"{gpu.total_memory / 2**30:.0f} GiB"
        rows.append((f"GPU {index}", f"{gpu.name}, compute capability {gpu.major}.{gpu.minor}, {memory}"))
    if len(rows) == 1:
        rows.append(("GPU", "none that torch can use"))
    return "Devices\n" + _table(rows)


def _kernels() -> str:
    rows: list[tuple[str, ...]] = [("op", *IMPLS)]
    rows += [(name, *(_where(op, impl) for impl in IMPLS)) for name, op in sorted(OPS.items())]
    lines = ["Kernels, and what they run on here (-: the op has no such implementation)", _table(rows)]
    lines += [f"  {impl} is missing: {reason}" for impl, reason in MISSING.items() if reason]
    return "\n".join(lines)


def _where(op: Op, impl: str) -> str:
    """Names the devices here that an implementation runs on, or says in a word why there is none."""
    if impl not in (*op.impls, "reference"):
        return "-"
    if MISSING[impl]:
        return "missing"
    devices = {"cpu": "CPU"} | ({"cuda": "GPU"} if torch.cuda.is_available() else {})
    usable = [name for device, name in devices.items() if op.why_not(impl, device) is None]
    return ", ".join(usable) or ("not this GPU" if "cuda" in devices else "no GPU")


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  " + line.rstrip() for line in lines)
