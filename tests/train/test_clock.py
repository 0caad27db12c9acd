"""The clock of training, by a time of the test's own."""

import pytest

from sslfast.train import clock
from sslfast.train.clock import Clock


class Time:
    """A time that stands still until it is moved."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(clock, "time", time)
    return time


def slow(time, batches, seconds):
    for batch in batches:
        time.now += seconds
        yield batch


def test_a_lap(time):
    measured = Clock()
    time.now += 50  # before the epoch
    measured.start()
    for number, batch in enumerate(measured.waits(slow(time, "abcdef", 1)), 1):
        assert batch == "abcdef"[number - 1]
        time.now += 3
        if number in (4, 6):
            assert measured.lap() == (4.0, 0.25)


def test_steps_that_wait_for_nothing(time):
    measured = Clock()
    for _ in measured.waits([1, 2]):
        time.now += 2
    assert measured.lap() == (2.0, 0.0)
