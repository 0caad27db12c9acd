"""The order in which calls are timed, and their number."""

import torch

from sslfast.benchmarks.measure import timing
from sslfast.benchmarks.ops.benchmark import of_pass

CPU = torch.device("cpu")


def rounds_of(milliseconds, monkeypatch, seconds):
    """Lists the providers, which take so long, in the order of their calls after the first three of each."""
    order = []
    steps = {name: (lambda name=name: order.append(name)) for name in milliseconds}
    monkeypatch.setattr(timing, "time_on_cpu", lambda step: step() or milliseconds[order[-1]])
    samples = timing.take_turns(steps, CPU, seconds)
    assert samples == {name: [ms] * (order.count(name) - 3) for name, ms in milliseconds.items()}
    return order[3 * len(steps) :]


def test_every_round_has_an_order_of_its_own(monkeypatch):
    order = rounds_of(dict.fromkeys("abc", 1.0), monkeypatch, seconds=0.06)
    rounds = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert len(rounds) == 20
    assert {"".join(sorted(names)) for names in rounds} == {"abc"}
    assert len(set(rounds)) == 6
    assert order == rounds_of(dict.fromkeys("abc", 1.0), monkeypatch, seconds=0.06)


def test_a_slow_provider_leaves_the_others_their_calls(monkeypatch):
    order = rounds_of({"slow": 1000.0, "fast": 1.0, "faster": 0.5}, monkeypatch, seconds=0.15)
    counts = {name: order.count(name) for name in ("slow", "fast", "faster")}
    assert counts == {"slow": timing.MIN_CALLS, "fast": 50, "faster": 100}
    assert [order[: len(order) // 2].count(name) for name in counts] == [2, 25, 50]  # spread over all rounds


def test_a_backward_pass_is_timed_alone(monkeypatch):
    x, events = torch.ones(3, requires_grad=True), []

    def forward():
        events.append("forward")
        return x.square().sum()

    def timer(call):
        events.append("start")
        assert call()[0].tolist() == [2, 2, 2]
        events.append("end")
        return 1.0

    monkeypatch.setattr(timing, "time_on_cpu", timer)
    step = of_pass("backward", forward, [x])
    timing.take_turns({"eager": step}, CPU, seconds=0)
    assert events[:9] == ["start", "forward", "end"] * 3  # its time decides how many calls there are
    assert events[9:] == ["forward", "start", "end"] * timing.MIN_CALLS
