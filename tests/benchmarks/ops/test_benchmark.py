"""What a benchmark reports of a case, and where it says so."""

import csv
import json
import math
import re
import subprocess
from dataclasses import dataclass

import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

from sslfast.benchmarks.measure import machine, memory, timing
from sslfast.benchmarks.measure.machine import Ceilings, Work
from sslfast.benchmarks.ops import benchmark as common
from sslfast.benchmarks.ops import plots
from sslfast.errors import UsageError

CPU = torch.device("cpu")


class Tiny(common.Benchmark):
    op = "info_nce"
    passes = ("forward",)

    def cases(self, device):
        return [3, 5]

    def providers(self, device):
        return ["eager", "ours"]

    def step(self, case, provider, pass_name, device):
        return lambda: torch.ones(case).sum()


class Rated(Tiny):
    """One with a floor, a yardstick, and a provider that cannot do one of the cases."""

    yardsticks = ("copy",)

    def providers(self, device):
        return ["eager", "ours", "copy", "odd"]

    def work(self, case, pass_name):
        return Work(flops=case, bytes=10 * case)

    def step(self, case, provider, pass_name, device):
        return None if (case, provider) == (3, "odd") else super().step(case, provider, pass_name, device)


class Known(Ceilings):
    def flops(self, dtype):
        return 1e6

    def bytes(self):
        return 1e6


class Greedy(Tiny):
    """One whose `greedy` provider no memory is enough for."""

    greedy = "ours"

    def step(self, case, provider, pass_name, device):
        def out_of_memory():
            raise torch.OutOfMemoryError("CUDA out of memory")

        return out_of_memory if provider == self.greedy else super().step(case, provider, pass_name, device)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.0)


def test_a_row_for_every_case_and_provider(capsys):
    results = common.measure(Tiny(), CPU, Ceilings(CPU))
    assert [(r.case, r.provider) for r in results] == [
        ("3", "eager"),
        ("3", "ours"),
        ("5", "eager"),
        ("5", "ours"),
    ]
    for result in results:
        assert math.isfinite(result.milliseconds)
        assert result.milliseconds > 0
        assert result.calls == timing.MIN_CALLS
        assert result.provider != "eager" or result.speedup == 1.0
    assert (
        len(capsys.readouterr().out.strip().splitlines()) == 2 + 4
    )  # the op, the head, two cases of two providers


def rounds_of(milliseconds, monkeypatch, seconds):
    """The providers, which take so long, in the order of their calls after the first three of each."""
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
    step = common.of_pass("backward", forward, [x])
    timing.take_turns({"eager": step}, CPU, seconds=0)
    assert events[:9] == ["start", "forward", "end"] * 3  # its time decides how many calls there are
    assert events[9:] == ["forward", "start", "end"] * timing.MIN_CALLS


@pytest.mark.parametrize("op", ["info_nce", "sup_con", "soft_cross_entropy", "in_batch_info_nce"])
def test_both_passes_end_with_the_backward_pass(op):
    (benchmark,) = common.find(op)
    case = benchmark.cases(CPU)[0]
    forward, backward, both = (benchmark.step(case, "eager", name, CPU) for name in common.PASSES)
    assert not forward().requires_grad
    torch.testing.assert_close(backward(), both())


def test_rates_and_ratios():
    results = common.measure(Rated(), CPU, Known(CPU))
    assert [(r.case, r.provider) for r in results] == [
        *(("3", name) for name in ("eager", "ours", "copy")),
        *(("5", name) for name in ("eager", "ours", "copy", "odd")),
    ]
    for case in ("3", "5"):
        of_case = {r.provider: r for r in results if r.case == case}
        for name, result in of_case.items():
            others = [r.milliseconds for r in of_case.values() if r.provider not in (name, "copy")]
            assert result.lead == pytest.approx(min(others) / result.milliseconds)
            # 10 bytes a unit of the case at 1e6 a second weigh more than its one operation.
            assert result.floor == pytest.approx(10 * int(case) / 1e3 / result.milliseconds)
            assert result.host_microseconds is None
            assert result.launches is None


def test_ceilings_are_rates():
    ceilings = Ceilings(CPU)
    assert 1e8 < ceilings.bytes() < 1e13
    assert 1e8 < ceilings.flops(torch.float32) < 1e15
    assert ceilings.floor_ms(Work(ceilings.flops(torch.float32), 0), torch.float32) == pytest.approx(1e3)


@pytest.mark.parametrize("greedy", ["eager", "ours"])
def test_out_of_memory_costs_one_provider_only(greedy, capsys):
    benchmark = Greedy()
    benchmark.greedy = greedy
    for result in common.measure(benchmark, CPU, Ceilings(CPU)):
        out = result.provider == greedy
        assert (result.milliseconds is None) == out
        assert (result.extra_bytes is None) >= out
        assert (result.speedup is None) == (out or greedy == "eager")
    assert capsys.readouterr().out.count("OOM") == 2


def test_memory_is_unknown_where_its_peak_cannot_be_reset(monkeypatch):
    def denied(*args):
        raise PermissionError("read-only file system")

    monkeypatch.setattr(memory.Path, "write_text", denied)
    assert memory.extra_memory(lambda: None, CPU) is None


def test_json_has_what_the_results_depend_on_and_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "find", lambda op: [Tiny()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / "results.json"
    results = common.run("info_nce", json_path=path)
    content = json.loads(path.read_text())
    assert {"date", "CPU", "versions", "commit"} <= content["header"].keys()
    assert [common.Result(**result) for result in content["results"]] == results
    results = common.run("info_nce", json_path=tmp_path)
    content = json.loads((tmp_path / "info_nce.json").read_text())
    assert [common.Result(**result) for result in content["results"]] == results


def test_the_commit_is_dirty_where_more_than_results_differs(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=name", "-c", "user.email=address", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    results, code = tmp_path / "benchmarks" / "results", tmp_path / "kernels" / "op.py"
    monkeypatch.setattr(machine, "RESULTS", results)
    for folder in (results, code.parent):
        folder.mkdir(parents=True)
    git("init")
    for file in (results / "op.json", code):
        file.write_text("old")
    git("add", ".")
    git("commit", "-m", "first")
    (results / "op.json").write_text("new")
    assert re.fullmatch("[0-9a-f]{7,}", machine.commit())
    code.write_text("new")
    assert re.fullmatch("[0-9a-f]{7,}-dirty", machine.commit())


def test_an_interrupted_run_leaves_what_it_has(tmp_path, monkeypatch):
    class Endless(Tiny):
        op = "nt_xent"

        def cases(self, device):
            raise KeyboardInterrupt

    monkeypatch.setattr(common, "find", lambda op: [Tiny(), Endless()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        common.run(json_path=tmp_path, csv_path=tmp_path / "ops.csv")
    assert len(json.loads((tmp_path / "info_nce.json").read_text())["results"]) == 4
    assert len((tmp_path / "ops.csv").read_text().splitlines()) == 1 + 4


@dataclass(frozen=True)
class Shape:
    n: int
    k: int
    kind: str = "plain"


def test_csv_and_plots(tmp_path, monkeypatch):
    class Sweep(Tiny):
        def cases(self, device):
            odd = [Shape(2, 8, "odd"), Shape(4, 16, "odd")]  # differ in two: no line
            return [Shape(2, 8), Shape(2, 16), Shape(4, 8), Shape(2, 32), *odd]

        def step(self, case, provider, pass_name, device):
            return super().step(case.n * case.k, provider, pass_name, device)

    monkeypatch.setattr(common, "find", lambda op: [Sweep()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    results = common.run(csv_path=tmp_path / "results.csv", plots=tmp_path / "plots")
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [(row["case"], row["provider"]) for row in rows] == [(r.case, r.provider) for r in results]
    assert [float(row["milliseconds"]) for row in rows] == [r.milliseconds for r in results]
    assert Image.open(tmp_path / "plots" / "info_nce.png").width > 500
    assert {r.parameters["k"] for r in plots.sweep(results, "k")} == {8, 16, 32}
    assert {r.parameters["n"] for r in plots.sweep(results, "n")} == {2, 4}
    assert {r.parameters["kind"] for r in plots.sweep(results, "n")} == {"plain"}


def test_a_provider_has_one_color_in_a_plot(tmp_path, monkeypatch):
    """Even where a panel lacks the provider before it."""
    drawn = []
    monkeypatch.setattr(Axes, "plot", lambda self, *points, color, **_: drawn.append((len(points[0]), color)))

    def result(provider, **parameters):
        return common.Result("info_nce", str(parameters), parameters, "forward", provider, 1.0, *[None] * 7)

    eager = [result("eager", n=n, k=8) for n in (2, 4, 8)]
    ours = [result("ours", n=32, k=k) for k in (8, 16, 32, 64)]  # alone in the panel of k
    plots.draw([*eager, *ours], tmp_path)
    assert sorted(drawn) == [(1, "C1"), (3, "C0"), (4, "C1")]


def test_an_op_without_a_benchmark():
    with pytest.raises(UsageError, match="--op nope: expected one of .*info_nce"):
        common.run("nope")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="expected a path in a folder that exists"):
        common.run("info_nce", json_path=tmp_path / "none" / "results.json")


def test_every_op_has_a_benchmark():
    from sslfast.kernels.common.op import OPS

    names = [benchmark.op for benchmark in common.find(None)]
    assert sorted(names) == sorted(OPS)
    assert tuple(names[: len(common.FIRST)]) == common.FIRST
