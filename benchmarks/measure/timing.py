"""The time of a call, the part of it that the host is busy, and the kernels that it launches."""

import functools
import random
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Step = Callable[[], object]
SECONDS = 6.0  # to spend on the timing of a case, about
MIN_CALLS, MAX_CALLS = 5, 200  # of each provider


class TwoPartStep(ABC):
    """A step whose first part runs anew before each call of the second, but is not timed."""

    def __call__(self) -> object:
        """Runs both parts."""
        return self.prepared()()

    @abstractmethod
    def prepared(self) -> Step:
        """Runs the first part, and returns the second, which can be called once."""


class Backward(TwoPartStep):
    """The step of a backward pass, whose first part is the forward pass.

    Args:
        forward: the function that is differentiated.
        inputs: the tensors to which it is.
        gradient: the gradient of what forward returns; None: 1, of a scalar.
    """

    def __init__(
        self, forward: Callable[[], Tensor], inputs: Sequence[Tensor], gradient: Tensor | None = None
    ) -> None:
        self.forward, self.inputs, self.gradient = forward, inputs, gradient

    def prepared(self) -> Step:
        """Runs the forward pass, and returns the backward pass."""
        return functools.partial(torch.autograd.grad, self.forward(), self.inputs, self.gradient)


def timed_part(step: Step) -> Step:
    """Returns the part of a step's next call that is to be timed."""
    return step.prepared() if isinstance(step, TwoPartStep) else step


def take_turns(
    steps: dict[str, Step], device: torch.device, seconds: float | None = None
) -> dict[str, list[float]]:
    """Measures the milliseconds of calls, the providers' in turns. None of a provider that is out of memory.

    Every provider has the same share of the time, so that a slow one does not leave few calls to the others: it
    has fewer, spread over all rounds. Each round has another order, for what ran before a call has a part in its
    time.

    Args:
        seconds: to spend, about; None: SECONDS.
    """
    seconds = SECONDS if seconds is None else seconds
    timer = time_on_gpu if device.type == "cuda" else time_on_cpu
    keep_freed_memory()
    warm: dict[str, float] = {}  # milliseconds
    for name, step in steps.items():
        try:
            warm[name] = min([timer(step) for _ in range(3)])  # compile, fill caches
        except torch.OutOfMemoryError:
            continue
    calls = {
        name: int(min(MAX_CALLS, max(MIN_CALLS, seconds * 1e3 / len(warm) / ms))) for name, ms in warm.items()
    }
    samples: dict[str, list[float]] = {name: [] for name in steps}
    rounds, order, shuffle = max(calls.values(), default=0), list(calls), random.Random(0).shuffle
    for i in range(rounds):
        shuffle(order)
        for name in order:
            if (i + 1) * calls[name] // rounds > i * calls[name] // rounds:
                samples[name].append(timer(timed_part(steps[name])))
    return samples


def keep_freed_memory() -> None:
    """Brings malloc to where it is in any process that has trained for a while: it reuses what is freed.

    glibc returns freed memory to the system at a threshold that rises with the largest block of up to 32 MiB that
    was ever freed. While it is low, whether a call's results are new pages, which can take longer than the call,
    depends on what other calls left on top of the heap.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8)


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
    """Measures the median time until a call returns, the GPU being idle before it."""
    samples = []
    for _ in range(20):
        call = timed_part(step)
        torch.cuda.synchronize()
        samples.append(time_on_cpu(call) * 1e3)
    torch.cuda.synchronize()
    return statistics.median(samples)


def launches(step: Step) -> int:
    """Counts the kernels, copies and fills that a call puts on the GPU."""
    call = timed_part(step)
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())
