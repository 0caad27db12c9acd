"""The record of the runs, its summary and its verdict."""

import dataclasses
import json

import pytest

from sslfast.benchmarks.methods.record import (
    RANDOM,
    SUPERVISED,
    MethodRecord,
    Run,
    held_equal,
    not_learned,
    summarize,
    table,
)
from sslfast.errors import UsageError


def a_run(method, seed, knn, linear, *, settings=(), epochs=3, random=0.25):
    scores = {"knn": knn, "linear": linear}
    return Run(method, seed, list(settings), epochs, 60.0, scores, dict.fromkeys(scores, random), "commit")


def test_a_run_with_other_settings_takes_the_place_of_all_before(tmp_path):
    record = MethodRecord(tmp_path / "methods.json", {"CPU": "one"}, {"width": 1})
    for new in (a_run("a", 0, 0.3, 0.3), a_run("a", 1, 0.3, 0.3), a_run("b", 0, 0.3, 0.3)):
        record.add(new)
    assert set(record.find("a", [])) == {0, 1}
    assert not record.find("a", ["x=1"])
    record.add(a_run("a", 0, 0.5, 0.5, settings=["x=1"]))
    again = MethodRecord(record.path, {"CPU": "another"}, {"width": 1})
    assert (again.header, again.continued) == ({"CPU": "one"}, None)  # nothing has been added to it
    assert [(r.method, r.seed, r.scores["knn"]) for r in again.runs] == [("b", 0, 0.3), ("a", 0, 0.5)]
    again.add(a_run("c", 0, 0.3, 0.3))
    content = json.loads(record.path.read_text())
    assert (content["header"], content["continued"]) == ({"CPU": "one"}, {"CPU": "another"})
    with pytest.raises(UsageError, match=r"holds runs with .*'width': 1.* asked for is .*'width': 2"):
        MethodRecord(record.path, {}, {"width": 2})


def test_mean_and_spread_over_the_seeds_in_the_order_of_the_linear_probe():
    runs = [
        *(a_run(SUPERVISED, 0, 0.6, 0.2), a_run("good", 0, 0.4, 0.5), a_run("good", 1, 0.44, 0.5)),
        *(a_run("bad", 0, 0.5, 0.3), a_run(RANDOM, 0, 0.2, 0.9)),
    ]
    summaries = summarize(runs)
    assert [s.method for s in summaries] == [RANDOM, "bad", "good", SUPERVISED]
    knn = summaries[2].scores["knn"]
    assert (knn.mean, knn.lowest, knn.highest) == pytest.approx((0.42, 0.4, 0.44))
    assert knn.spread == pytest.approx(0.04 / 2**0.5)
    lines = table(summaries, {}).splitlines()
    assert lines[3].split() == [
        *("good", "2", "3", "1.0", "42.0%", "±", "2.8", "25.0%", "50.0%", "±", "0.0", "25.0%")
    ]
    assert "±" not in lines[2]


def test_what_counts_as_learned():
    """At 25 % of 2,000 images the margin is 2 sqrt(2 * 0.25 * 0.75 / 2000) = 2.74 %."""
    runs = [
        *(a_run(RANDOM, 0, 0.25, 0.25), a_run(SUPERVISED, 0, 0.1, 0.1), a_run("yes", 0, 0.28, 0.28)),
        *(a_run("no", 0, 0.27, 0.27), a_run("half", 0, 0.27, 0.4), a_run("worse", 0, 0.4, 0.2)),
        *(a_run("from lower", 0, 0.23, 0.23, random=0.2), a_run("from higher", 0, 0.4, 0.4, random=0.39)),
    ]
    expected = {"no": ["knn", "linear"], "half": ["knn"], "worse": ["linear"], "from higher": ["knn", "linear"]}
    assert not_learned(summarize(runs), 2000) == expected
    assert not not_learned(summarize([a_run(RANDOM, 0, 0.25, 0.25), a_run("no", 0, 0.27, 0.27)]), 20_000)


def test_what_was_held_equal_and_what_was_not():
    random = a_run(RANDOM, 0, 0.2, 0.2, epochs=0)
    slow = dataclasses.replace(a_run("slow", 0, 0.3, 0.3), seconds=342.0)
    summaries = summarize([slow, a_run("quick", 0, 0.3, 0.3), random])
    assert held_equal(summaries, {"minutes": 3.0}) == (
        "Held equal: the images, the encoder and the evaluations. A run has as many epochs as 3 minutes hold, by "
        "steps that were timed before it; the runs took 1.0 to 5.7 minutes."
    )
    pixpro = summarize([a_run("pixpro", 0, 0.3, 0.3)])
    assert "as many epochs as 3 minutes hold, of pixpro as 6, by steps" in held_equal(pixpro, {"minutes": 3.0})
    hidden = summarize([a_run("mae", 0, 0.3, 0.3), a_run("ibot", 0, 0.3, 0.3), random])
    assert "the encoder (a ViT for mae and ibot), the eval" in held_equal(hidden, {"epochs": 2})
    assert held_equal(summaries, {"epochs": 200}) == (
        "Held equal: the images, the encoder, the evaluations and the epochs; the runs took 1.0 to 5.7 minutes."
    )
    assert held_equal(summarize([random]), {"epochs": 1}).endswith("; none has trained.")
