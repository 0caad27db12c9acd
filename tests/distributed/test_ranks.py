"""Which processes of a run are lost, as the others see it through a store; with real ones in tests/train."""

import threading
from contextlib import ExitStack

import pytest
import torch.distributed as dist

from sslfast.distributed import ranks
from sslfast.distributed.ranks import Ranks
from sslfast.errors import TrainingError

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="needs torch.distributed")

GLOO = "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer"


@pytest.fixture
def three(monkeypatch):
    """Makes the ranks of a run, in one process."""
    monkeypatch.setattr(ranks, "PERIOD", 0.02)
    monkeypatch.setattr(ranks, "PATIENCE", 0.3)
    store = dist.HashStore()
    return [Ranks(store, rank, 3) for rank in range(3)]


def fail(this, error):
    with this.watched(lambda: "at step 7"):
        raise error


def test_all_live(three):
    with ExitStack() as stack:
        for each in three:
            stack.enter_context(each.alive())
        assert [each.lost() for each in three] == ["", "", ""]
        with pytest.raises(RuntimeError, match="^of ours$"):
            fail(three[0], RuntimeError("of ours"))
        with pytest.raises(
            TrainingError, match=r"rank 0 of 3: an exchange .* all of which live .* train.rank_timeout"
        ):
            fail(three[0], RuntimeError(GLOO))


def test_one_is_silent(three):
    with three[0].alive(), three[2].alive(), pytest.raises(TrainingError) as error:
        fail(three[0], RuntimeError(GLOO))
    assert str(error.value) == "rank 1 of 3: no sign of life, killed, stopped or out of reach, at step 7"


def test_two_are_silent(three):
    with three[1].alive():
        assert three[1].lost().startswith("ranks 0, 2 of 3: no sign of life")


def test_one_has_ended_by_an_error_of_its_own(three):
    with pytest.raises(KeyError), three[1].alive():
        raise KeyError
    with three[0].alive(), three[2].alive():
        assert three[0].lost() == "rank 1 of 3: ended by an error, which stands in its own output,"


@pytest.mark.parametrize("call", ["gone", "stopped"])
def test_the_store_is_lost(three, monkeypatch, call):
    class Lost:
        def add(self, key, amount):
            if call == "gone":
                raise dist.DistNetworkError("Broken pipe")
            threading.Event().wait()

        def clone(self):
            return self

    this = Ranks(Lost(), 0, 2)
    with pytest.raises(TrainingError, match="the ranks together, .* is lost at step 7"), this.alive():
        fail(this, RuntimeError(GLOO))


def test_one_alone_has_nobody_to_lose():
    with Ranks().alive(), pytest.raises(RuntimeError, match="Connection closed"):
        fail(Ranks(), RuntimeError(GLOO))


def test_the_others_wait_as_long_as_those_live_that_prepare(three):
    first, second, _ = three
    order = []

    def wait():
        second.wait()
        order.append("waited")

    with ExitStack() as stack:
        for each in three:
            stack.enter_context(each.alive())
        first.prepare()
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(2 * ranks.PATIENCE)
        order.append("prepared")
        first.ready()
        waiting.join()
    assert order == ["prepared", "waited"]


def test_what_a_lost_one_prepares_is_not_waited_for(three):
    three[0].prepare()
    lost = pytest.raises(TrainingError, match="rank 0 of 3: no sign of life")
    with three[1].alive(), three[2].alive(), lost, three[1].watched(lambda: ""):
        three[1].wait()
