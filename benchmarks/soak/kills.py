"""A run whose processes are killed again and again, beside one that is left alone."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves_with_path

from sslfast.benchmarks.soak.job import STEPS_PER_EPOCH, Job, metrics
from sslfast.run.checkpoint import Checkpoints, load

KINDS = ("rank 0", "the last rank", "all ranks", "rank 0, within a checkpoint")
STEPS_A_KILL = 4  # of the training
KEEP = "train.keep_checkpoints=100000"  # of the run that is left alone and of the other, as they have one recipe


def survive(folder: Path, kills: int, count: int, seed: int = 0, kinds: Sequence[str] = KINDS) -> dict[str, int]:
    """Kills a run so often, resumes it each time, and lets it end.

    After each kill its checkpoint and its metrics up to there are those of the run that is left alone, to the bit;
    in the end so are all, and no unfinished file is there.

    Args:
        folder: is made.
        kills: how many.
        count: of processes.
        seed: of the times of the kills.
        kinds: of KINDS, which take turns.

    Returns:
        How many kills there were of each kind.

    Raises:
        AssertionError: something was lost, or is there twice.
        TimeoutError: a process hangs.
    """
    chance, done = random.Random(seed), Counter[str]()
    folder.mkdir()
    steps = STEPS_A_KILL * kills
    alone = Job(folder / "alone", count, steps, None, KEEP)
    assert alone.end() == [0] * count, alone.said(0).read_text()
    size = (alone.run / "checkpoints" / "last.pt").stat().st_size
    for number in range(kills):
        kind = kinds[number % len(kinds)]
        within = kind == KINDS[-1]
        job = Job(folder / "killed", count, steps, chance.randrange(size) if within else None, KEEP)
        if not within:
            job.wait_for_step(chance.randrange(1, STEPS_A_KILL))
            time.sleep(chance.uniform(0, 0.05))
            job.kill({"rank 0": [0], "the last rank": [count - 1]}.get(kind, list(range(count))))
        _check_ends(job.end(), job)
        assert not within or any(job.run.rglob("*.tmp"))
        _check_same(job.run, alone.run)
        done[kind] += 1
    last = Job(folder / "killed", count, steps, None, KEEP)
    assert last.end() == [0] * count, last.said(0).read_text()
    check_whole(last.run, alone.run, steps)
    return dict(done)


def _check_ends(codes: list[int | None], job: Job) -> None:
    """Asserts that a process that was not killed has ended with a sentence."""
    for rank, code in enumerate(codes):
        if code != -9:
            said = job.said(rank).read_text()
            assert code == 1, f"rank {rank} ended with {code}: {said}"
            assert "Traceback" not in said, said
            assert "sslfast: rank" in said or "keeps the ranks together" in said, said


def _check_same(run: Path, other: Path) -> None:
    """Asserts that the latest checkpoint and the metrics up to it are those of the other run."""
    latest = Checkpoints(run / "checkpoints", 0).latest()
    if latest is None:
        return
    _, state = latest
    step = state["step"]
    _check_states(state, load(other / "checkpoints" / f"step-{step:08d}.pt"))
    ours, theirs = (_determined(each, step) for each in (run, other))
    assert ours == theirs, f"{run}: other metrics up to step {step}"


def check_whole(run: Path, other: Path, steps: int) -> None:
    """Asserts that a finished run is the other one, and that nothing else is there."""
    _check_same(run, other)
    assert [line["step"] for line in metrics(run)] == list(range(1, steps + 1))
    for name in ("backbone.safetensors", "summary.json"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    names = [
        {path.relative_to(each) for path in each.rglob("*") if "tfevents" not in path.name}
        for each in (run, other)
    ]
    assert names[0] == names[1], names[0] ^ names[1]
    assert len([name for name in names[0] if name.suffix == ".pt"]) == steps // STEPS_PER_EPOCH + 1
    assert not [name for name in names[0] if name.suffix in (".tmp", ".lock")]


def _check_states(ours: Any, theirs: Any) -> None:
    leaves = [dict(tree_leaves_with_path(state)) for state in (ours, theirs)]
    assert leaves[0].keys() == leaves[1].keys()
    for path, value in leaves[0].items():
        expected = leaves[1][path]
        same = torch.equal(value, expected) if isinstance(value, torch.Tensor) else value == expected
        assert same, f"{path}: {value} where the run that was left alone has {expected}"


def _determined(run: Path, step: int) -> list[dict[str, Any]]:
    """Reads the lines of a run's metrics up to a step, without its speed."""
    lines = [line for line in metrics(run) if line["step"] <= step]
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in lines]
