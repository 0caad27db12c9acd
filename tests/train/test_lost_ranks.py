"""A process of a run is killed or stopped: the others say which, how far the run had come, and how it goes on."""

import re
import signal

import pytest
import torch.distributed as dist

from tests.train.lost_ranks import Pair, send

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")

LOST = "rank {} of 2: no sign of life, killed, stopped or out of reach,"
STORE_LOST = "the process that keeps the ranks together, rank 0's or torchrun's, is lost"


WHO = {
    (1, signal.SIGKILL): LOST.format(1),
    (1, signal.SIGSTOP): LOST.format(1),
    (0, signal.SIGKILL): STORE_LOST,
    (0, signal.SIGSTOP): STORE_LOST,
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Makes runs of which one rank got a signal, by the rank and the signal; their others wait side by side."""
    started = {}
    try:
        for rank, number in WHO:
            pair = started[rank, number] = Pair(tmp_path_factory.mktemp("pair"))
            pair.wait_for_steps(6)
            send(pair, rank, number)
        yield started
    finally:
        for pair in started.values():
            pair.end()


@pytest.mark.parametrize(("rank", "number"), WHO)
def test_a_lost_rank_is_named(pairs, rank, number):
    pair = pairs[rank, number]
    other = pair.ranks[1 - rank]
    other.join(60)
    assert other.exitcode == 1
    reached = rf"at step \d+; {pair.folder}/run/checkpoints holds step \d+: go on with --resume"
    assert re.fullmatch(f"sslfast: {WHO[rank, number]} {reached}", pair.sentence(1 - rank))


def test_an_error_of_one_is_told_once(tmp_path):
    """By the rank whose error it is; the others refer to it."""
    pair = Pair(tmp_path, ["--data=" + str(tmp_path / "images"), "--data=" + str(tmp_path / "none")])
    try:
        for process in pair.ranks:
            process.join(60)
        assert [process.exitcode for process in pair.ranks] == [1, 2]
        assert "none: no such file or folder" in pair.sentence(1)
        assert pair.sentence(0) == (
            "sslfast: rank 1 of 2: ended by an error, which stands in its own output, before training began; "
            "start it again"
        )
    finally:
        pair.end()
