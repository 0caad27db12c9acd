"""The runs of `make methods-check`, one after another or several at a time."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch

from sslfast.benchmarks.methods.record import RANDOM, Run
from sslfast.benchmarks.methods.run import Task, run_method, run_random
from sslfast.errors import TrainingError, UsageError

PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process gets when its parent ends


class Job(NamedTuple):
    """A run to make: a method's, or random initialization's."""

    method: str
    seed: int
    epochs: int | None  # those of its other seeds, if there are any


class Failure(NamedTuple):
    """A run that has no result, and the reason."""

    method: str
    reason: str


def do(task: Task, job: Job) -> Run | Failure:
    torch.compiler.reset()  # after runs of other shapes this one's would be compiled as if they could vary
    try:
        if job.method == RANDOM:
            return run_random(job.seed, task)
        return run_method(job.method, job.seed, task, job.epochs)
    except (UsageError, TrainingError) as error:
        return Failure(job.method, str(error))


def do_all(task: Task, jobs: Sequence[Job], processes: int) -> Iterator[Run | Failure]:
    """Makes the runs, and yields each as it ends.

    Args:
        processes: the number of runs at a time, which share the CPU's threads: two small networks on a thread each
            take less time than one after another on both, and the last one left gets no more than the others had.
            When this process gets SIGTERM, or is killed, they get SIGTERM, and save what they have.
    """
    if processes <= 1 or not jobs:
        yield from map(partial(do, task), jobs)
        return
    threads = max(1, torch.get_num_threads() // processes)
    with (
        exit_on_sigterm(),
        multiprocessing.get_context("spawn").Pool(min(processes, len(jobs)), _start, (threads,)) as pool,
    ):
        yield from pool.imap_unordered(partial(do, task), jobs)


def _start(threads: int) -> None:
    # Else the processes of a killed pool would make all the runs that wait in its pipe.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    torch.set_num_threads(threads)
    os.environ["TQDM_DISABLE"] = "1"  # bars of several runs in one terminal


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Turns SIGTERM into SystemExit, so that leaving, which ends the processes of the pool, is not skipped."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
