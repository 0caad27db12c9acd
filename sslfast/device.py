"""Devices: the choice of one and of the precision there, and copies to it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sslfast.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]
PrecisionName = Literal["auto", "fp32", "bf16", "fp16"]
MOST_SHOWN = 40  # characters of a name in a message
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Chooses a device by its name; "auto" is cuda where there is one, else cpu.

    Raises:
        UsageError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shown = repr(name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}...")
    try:
        known = torch.device(name).type in ("cpu", "cuda")
        device = torch.empty(0, device=name).device if known else None
    except (RuntimeError, AssertionError) as error:
        reason = str(error).split("\n")[0].replace(name, shown[1:-1])
        raise UsageError(f"device {shown}: {reason}; use auto, cpu or cuda") from error
    if device is None:
        raise UsageError(f"device {shown}: kernels and data pipelines have no form for it; use auto, cpu or cuda")
    return device


def device_type(name: str) -> str:
    """Names the type of the device that a name means, such as "cuda", whether there is one or not."""
    return choose_device(name).type if name == "auto" else name.partition(":")[0]


def choose_precision(name: PrecisionName, device_type: str) -> Precision:
    """Chooses a precision by its name; "auto" is what the device multiplies in.

    bf16 on a GPU and on a CPU with AVX512-BF16 or AMX-BF16, else fp16 on a GPU, before Ampere, and fp32 on a CPU:
    what a device only emulates takes longer than fp32.
    """
    if name != "auto":
        return name
    if device_type == "cuda" and torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device_type == "cuda" or cpu_multiplies_bf16() else "fp32"


def cpu_multiplies_bf16() -> bool:
    """Tells whether this CPU has instructions for products of bf16."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch 2.10; a CPU with AMX-BF16 has AVX512-BF16, too
        return torch.cpu._is_avx512_bf16_supported()
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Returns a tensor of the host in memory that a GPU copies from by itself; for a CPU as it is."""
    return tensor.pin_memory() if device.type == "cuda" else tensor


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copies an array to the device without waiting for it."""
    return pinned(torch.from_numpy(np.ascontiguousarray(array)), device).to(device, non_blocking=True)
