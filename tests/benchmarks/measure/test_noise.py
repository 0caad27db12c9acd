"""Tests the noise, beside what two equal providers show."""

import math
import random
import statistics

import pytest

from sslfast.benchmarks.measure.noise import noise


def two_providers(draw, calls):
    """Makes the calls of two equal providers, on a machine that is slower now and then, for both."""
    both, disturbed = ([], []), 0
    for _ in range(calls):
        disturbed = draw.randrange(1, calls // 5) if draw.random() < 0.03 else max(0, disturbed - 1)
        for provider in both:
            provider.append(math.exp(0.4 * (disturbed > 0) + abs(draw.gauss(0, 0.05))))
    return both


@pytest.mark.parametrize("calls", [30, 100])
def test_it_is_what_two_equal_providers_show(calls):
    draw = random.Random(0)
    shown, estimated = [], []
    for _ in range(80):
        one, other = two_providers(draw, calls)
        shown.append(abs(math.log(statistics.median(one) / statistics.median(other))))
        estimated.append(math.log1p(noise(one)))
    in_19_of_20 = sorted(shown)[round(0.95 * len(shown)) - 1]
    assert statistics.mean(estimated) == pytest.approx(in_19_of_20, rel=0.4)
    assert sum(s <= e for s, e in zip(shown, estimated, strict=True)) >= 0.8 * len(shown)


def test_equal_calls_have_none():
    assert noise([2.0] * 9) == 0


def test_a_change_of_speed_that_falls_on_both_is_none():
    assert noise([1.0] * 40 + [2.0] * 41) < 0.01
    assert noise([1.0, 2.0] * 20) > 0.1


def test_it_has_no_unit():
    calls = [random.Random(i).random() + 1 for i in range(40)]
    assert noise([1000 * call for call in calls]) == pytest.approx(noise(calls))


def test_too_few_calls_say_nothing():
    assert noise([1.0, 2.0, 3.0]) is None
    assert noise([]) is None
    assert noise([1.0, 2.0, 3.0, 4.0]) is not None
