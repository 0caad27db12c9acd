"""The record of training steps."""

import json

import pytest

from sslfast.benchmarks.measure.machine import RESULTS
from sslfast.benchmarks.train.plot import draw
from sslfast.benchmarks.train.record import TrainRecord, TrainResult
from sslfast.errors import UsageError


def result(method, milliseconds, pipeline="sslfast"):
    rate = None if milliseconds is None else 16e3 / milliseconds
    return TrainResult("small", method, pipeline, 16, milliseconds, rate, None, None, 5, "c")


def test_a_method_that_is_measured_again_takes_the_place_of_what_it_was(tmp_path):
    path, header = tmp_path / "train.json", {"CPU": "one", "date": "Monday"}
    record = TrainRecord(path, header)
    record.add([result("byol", 1.0), result("byol", 2.0, "lightly")])
    record.add([result("simclr", 3.0)])
    record = TrainRecord(path, {**header, "date": "Tuesday", "command": "another name of the program"})
    record.add([result("byol", None)])
    assert record.results == TrainRecord(path, header).results == [result("byol", None), result("simclr", 3.0)]
    draw(record.results, tmp_path / "train.png")


def test_the_recorded_results_are_read():
    """Those from before a field was added have its default."""
    for path in RESULTS.glob("*/train.json"):
        content = json.loads(path.read_text())
        record = TrainRecord(path, content["header"])
        assert len(record.results) == len(content["results"]) > 0


def test_results_of_another_machine_are_not_mixed_in(tmp_path):
    path = tmp_path / "train.json"
    TrainRecord(path, {"CPU": "one"}).add([result("byol", 1.0)])
    with pytest.raises(
        UsageError, match="holds results with CPU 'one', and here it is 'two'; choose another file"
    ):
        TrainRecord(path, {"CPU": "two"})
    with pytest.raises(UsageError, match="holds results with GPU None, and here it is 'a GPU'"):
        TrainRecord(path, {"CPU": "one", "GPU": "a GPU"})
