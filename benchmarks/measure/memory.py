"""The memory that one call takes at its peak, beyond what was there before it."""

import ctypes
import gc
import sys
from pathlib import Path

import torch

from sslfast.benchmarks.measure.timing import Step, timed_part


def extra_memory(step: Step, device: torch.device) -> int | None:
    """Measures the bytes that a call takes at its peak, or None where that is not known.

    On a GPU they are those that PyTorch's allocator gave out; on the CPU those of resident memory (Linux's VmHWM,
    after freed memory was given back to the system).
    """
    call = timed_part(step)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    if sys.platform != "linux":
        return None
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM, the peak, to the present VmRSS
    except OSError:  # not for every container
        return None
    before = _resident("VmRSS")
    call()
    return max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))
