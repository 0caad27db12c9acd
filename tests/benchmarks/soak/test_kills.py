"""The small form of `make soak`: kills that a run survives, and faults that the comparison finds."""

import os
import threading

import pytest
import torch.distributed as dist

from sslfast.benchmarks.soak.kills import KINDS, check_whole, survive
from sslfast.benchmarks.soak.steady import is_flat, sample


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_a_run_of_two_processes_survives_kills(tmp_path):
    """Both at a random time, and rank 0 in the middle of a checkpoint; a line that is there twice is found."""
    kinds = KINDS[2:]
    assert survive(tmp_path / "soak", 2, 2, kinds=kinds) == dict.fromkeys(kinds, 1)
    killed, alone = (tmp_path / "soak" / name / "run" for name in ("killed", "alone"))
    check_whole(killed, alone, 8)
    (killed / "last.pt.tmp").touch()
    with pytest.raises(AssertionError, match="last.pt.tmp"):
        check_whole(killed, alone, 8)
    text = (killed / "metrics.jsonl").read_text()
    (killed / "metrics.jsonl").write_text(text + text.splitlines(keepends=True)[-1])
    with pytest.raises(AssertionError, match="other metrics up to step 8"):
        check_whole(killed, alone, 8)


def test_what_a_process_holds():
    before = sample(os.getpid())
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    with open(os.devnull):
        after = sample(os.getpid())
    waiting.set()
    thread.join()
    assert after["file descriptors"] == before["file descriptors"] + 1
    assert after["threads"] == before["threads"] + 1
    assert before["bytes"] > 10**6


@pytest.mark.parametrize(
    ("held", "flat"),
    [
        ({"bytes": [1000, 1010], "threads": [3, 3]}, True),
        ({"bytes": [1000, 1100], "threads": [3, 3]}, False),
        ({"bytes": [1000, 1000], "threads": [3, 4]}, False),
    ],
)
def test_what_grows_is_not_flat(held, flat):
    assert is_flat(held) == flat
