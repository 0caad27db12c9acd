"""A process of a run is killed or stopped: the others say which, how far the run had come, and how it goes on."""

import re
import signal

import pytest
import torch.distributed as dist

from tests.train.lost_ranks import Pair, send

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")

LOST = "rank {} of 2: no sign of life, killed, stopped or out of reach,"
STORE_LOST = "the process that keeps the ranks together, rank 0's or torchrun's, is lost"


@pytest.mark.parametrize(
    ("rank", "number", "who"),
    [
        (1, signal.SIGKILL, LOST.format(1)),
        (1, signal.SIGSTOP, LOST.format(1)),
        (0, signal.SIGKILL, STORE_LOST),
        (0, signal.SIGSTOP, STORE_LOST),
    ],
)
def test_a_lost_rank_is_named(tmp_path, rank, number, who):
    pair = Pair(tmp_path)
    try:
        pair.wait_for_steps(6)
        send(pair, rank, number)
        other = pair.ranks[1 - rank]
        other.join(60)
        *_, last = pair.said(1 - rank).splitlines()
        assert other.exitcode == 1
        assert re.fullmatch(
            rf"sslfast: {who} at step \d+; {tmp_path}/run/checkpoints holds step \d+: go on with --resume", last
        )
        assert "Traceback" not in pair.said(1 - rank)
    finally:
        pair.end()


def test_an_error_of_one_is_told_once(tmp_path):
    """By the rank whose error it is; the others refer to it."""
    pair = Pair(tmp_path, ["--data=" + str(tmp_path / "images"), "--data=" + str(tmp_path / "none")])
    try:
        for process in pair.ranks:
            process.join(60)
        assert [process.exitcode for process in pair.ranks] == [1, 2]
        assert "none: no such file or folder" in pair.said(1)
        assert pair.said(0).splitlines()[-1] == (
            "sslfast: rank 1 of 2: ended by an error, which stands in its own output, at step 0; "
            "no checkpoint is saved yet: start the run again"
        )
        assert "Traceback" not in pair.said(0) + pair.said(1)
    finally:
        pair.end()
