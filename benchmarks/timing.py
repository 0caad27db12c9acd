"""How long a call takes, what of it the host is busy, how many kernels it launches."""

import functools
import statistics
import time
from collections.abc import Callable

import torch

Step = Callable[[], object]
SECONDS = 2.0  # to spend on the timing of a case, about
MIN_CALLS, MAX_CALLS = 5, 200  # of each provider


def take_turns(
    steps: dict[str, Step], device: torch.device, seconds: float | None = None
) -> dict[str, list[float]]:
    """Milliseconds of each call; the providers' calls alternate. None of a provider that is out of memory.

    Args:
        seconds: to spend, about; None: SECONDS.
    """
    seconds = SECONDS if seconds is None else seconds
    timer = time_on_gpu if device.type == "cuda" else time_on_cpu
    round_ms, names = 0.0, []
    for name, step in steps.items():
        try:
            for _ in range(3):  # compile, fill caches
                last = timer(step)
        except torch.OutOfMemoryError:
            continue
        round_ms += last
        names.append(name)
    calls = int(min(MAX_CALLS, max(MIN_CALLS, seconds * 1e3 / round_ms))) if names else 0
    samples: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(calls):
        turn = i % len(names)
        for name in names[turn:] + names[:turn]:
            samples[name].append(timer(steps[name]))
    return samples


def time_on_cpu(step: Step) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1e3


@functools.cache
def l2_cache() -> torch.Tensor:
    return torch.empty(2**28, dtype=torch.int8, device="cuda")  # larger than any L2 cache


def time_on_gpu(step: Step) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    l2_cache().zero_()
    start.record()
    step()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def host_microseconds(step: Step) -> float:
    """The median time until a call returns, the GPU being idle before it."""
    samples = []
    for _ in range(20):
        torch.cuda.synchronize()
        samples.append(time_on_cpu(step) * 1e3)
    torch.cuda.synchronize()
    return statistics.median(samples)


def launches(step: Step) -> int:
    """Kernels, copies and fills that a call puts on the GPU."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        step()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())
