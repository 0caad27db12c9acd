"""Tests the results of a benchmark's cases, and the files they are written to."""

import json
import math
from itertools import chain

import pytest
import torch

from sslfast.benchmarks.measure import timing
from sslfast.benchmarks.measure.machine import Ceilings, Work
from sslfast.benchmarks.measure.noise import noise
from sslfast.benchmarks.ops import benchmark as ops_benchmark
from sslfast.benchmarks.ops.benchmark import FIRST, PASSES, OpResult, bind, find, measure, run
from sslfast.errors import UsageError
from sslfast.kernels.common.op import OPS
from tests.benchmarks.ops.tiny import Tiny

CPU = torch.device("cpu")


class Rated(Tiny):
    """Has a floor, a yardstick, and a provider that cannot do one of the cases."""

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
    """Has a `greedy` provider that no memory is enough for."""

    greedy = "ours"

    def step(self, case, provider, pass_name, device):
        def out_of_memory():
            raise torch.OutOfMemoryError("CUDA out of memory")

        return out_of_memory if provider == self.greedy else super().step(case, provider, pass_name, device)


def test_every_row_has_the_noise_that_eagers_calls_show(monkeypatch, capsys):
    calls = {"eager": [2.0, 2.2] * 10, "ours": [1.0] * 20}
    monkeypatch.setattr(ops_benchmark, "take_turns", lambda steps, device: calls)
    results = [*chain.from_iterable(measure(Tiny(), CPU, Ceilings(CPU)))]
    assert {result.noise for result in results} == {noise(calls["eager"])}
    _, head, *lines = capsys.readouterr().out.strip().splitlines()
    right = head.index("noise") + len("noise")
    assert {line[:right].split()[-1] for line in lines} == {f"{noise(calls['eager']):.1%}"}


def test_a_row_for_every_case_and_provider(capsys):
    results = [*chain.from_iterable(measure(Tiny(), CPU, Ceilings(CPU)))]
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


@pytest.mark.parametrize("op", ["info_nce", "sup_con", "soft_cross_entropy", "in_batch_info_nce"])
def test_both_passes_end_with_the_backward_pass(op):
    (benchmark,) = find(op)
    case = benchmark.cases(CPU)[0]
    forward, backward, both = (benchmark.step(case, "eager", name, CPU) for name in PASSES)
    assert not forward().requires_grad
    torch.testing.assert_close(backward(), both())


def test_our_choice_is_called_as_users_call_it():
    def info_nce(impl="auto"):
        return impl

    assert bind(info_nce, "auto") is info_nce
    assert bind(info_nce, "cpp")() == "cpp"
    assert bind(info_nce, "eager")() == "reference"


def test_rates_and_ratios():
    results = [*chain.from_iterable(measure(Rated(), CPU, Known(CPU)))]
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


@pytest.mark.parametrize("greedy", ["eager", "ours"])
def test_out_of_memory_costs_one_provider_only(greedy, capsys):
    benchmark = Greedy()
    benchmark.greedy = greedy
    for result in chain.from_iterable(measure(benchmark, CPU, Ceilings(CPU))):
        out = result.provider == greedy
        assert (result.milliseconds is None) == out
        assert (result.extra_bytes is None) >= out
        assert (result.speedup is None) == (result.noise is None) == (out or greedy == "eager")
    assert capsys.readouterr().out.count("OOM") == 2


def test_json_has_what_the_results_depend_on_and_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(ops_benchmark, "find", lambda op: [Tiny()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / "results.json"
    results = run("info_nce", json_path=path)
    content = json.loads(path.read_text())
    assert {"date", "CPU", "versions", "commit"} <= content["header"].keys()
    assert [OpResult(**result) for result in content["results"]] == results
    results = run("info_nce", json_path=tmp_path)
    content = json.loads((tmp_path / "info_nce.json").read_text())
    assert [OpResult(**result) for result in content["results"]] == results


def test_an_interrupted_run_leaves_what_it_has(tmp_path, monkeypatch):
    class Endless(Tiny):
        op = "nt_xent"

        def cases(self, device):
            raise KeyboardInterrupt

    monkeypatch.setattr(ops_benchmark, "find", lambda op: [Tiny(), Endless()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        run(json_path=tmp_path, csv_path=tmp_path / "ops.csv")
    assert len(json.loads((tmp_path / "info_nce.json").read_text())["results"]) == 4
    assert len((tmp_path / "ops.csv").read_text().splitlines()) == 1 + 4


def test_an_interrupted_op_leaves_the_cases_that_are_done(tmp_path, monkeypatch):
    """With all their passes: the last one of a record is the one that its figures are of."""

    class Endless(Tiny):
        passes = ("forward", "backward")

        def step(self, case, provider, pass_name, device):
            if (case, pass_name) == (5, "backward"):
                raise KeyboardInterrupt
            return super().step(case, provider, pass_name, device)

    monkeypatch.setattr(ops_benchmark, "find", lambda op: [Endless()])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(KeyboardInterrupt):
        run("info_nce", json_path=tmp_path, csv_path=tmp_path / "ops.csv")
    rows = json.loads((tmp_path / "info_nce.json").read_text())["results"]
    assert [(row["case"], row["pass_name"]) for row in rows] == [("3", "forward")] * 2 + [("3", "backward")] * 2
    assert len((tmp_path / "ops.csv").read_text().splitlines()) == 1 + 4


def test_an_op_without_a_benchmark():
    with pytest.raises(UsageError, match=r"^--op infonce: no such op; did you mean 'info_nce'\?$"):
        run("infonce")
    with pytest.raises(UsageError, match=r"^--op nope: no such op; `sslfast info` lists the 15 that there are$"):
        run("nope")
    assert {each.op for each in find(None)} == OPS.keys()  # which `sslfast info` lists


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="expected a path in a folder that exists"):
        run("info_nce", json_path=tmp_path / "none" / "results.json")


def test_every_op_has_a_benchmark():
    from sslfast.kernels.common.op import OPS

    names = [benchmark.op for benchmark in find(None)]
    assert sorted(names) == sorted(OPS)
    assert tuple(names[: len(FIRST)]) == FIRST
