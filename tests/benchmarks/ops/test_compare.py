"""The rows of a comparison of two commits, and their numbers."""

import pytest

from sslfast.benchmarks.ops import compare
from sslfast.benchmarks.ops.compare import Row


def result(provider, speedup, case="8x8"):
    return {"op": "info_nce", "case": case, "pass_name": "forward", "provider": provider, "speedup": speedup}


def test_the_median_of_the_rounds_of_each_tree(monkeypatch, tmp_path):
    base, head = tmp_path / "base", tmp_path / "head"
    speeds = {base: iter([2.0, 9.0, 3.0]), head: iter([4.0, 5.0, 1.0])}
    order = []

    def benchmark(tree, op):
        order.append(tree)
        return [
            result("eager", 1.0),
            result("compiled", 1.5),
            result("cpp", next(speeds[tree])),
            result("cuda", None),
        ]

    monkeypatch.setattr(compare, "benchmark", benchmark)
    of_base, of_head = compare.measure(base, head, None)
    row = Row("info_nce", "8x8", "forward", "cpp")
    assert (of_base, of_head) == ({row: 3.0}, {row: 4.0})
    assert order == [base, head, head, base, base, head]


def test_the_table_has_the_rows_of_both():
    ours = Row("info_nce", "8x8", "forward", "cpp")
    table = compare.table(
        {ours: 2.0, ours._replace(case="gone"): 1.0}, {ours: 3.0, ours._replace(case="new"): 1.0}
    )
    assert len(table.splitlines()) == 2
    assert table.splitlines()[1].split() == ["info_nce", "8x8", "forward", "cpp", "2.00", "3.00", "1.50"]


def test_a_benchmark_runs_in_the_tree_it_is_of(monkeypatch, tmp_path):
    call = {}

    def run(command, *, cwd, env, stdout, check):
        call.update(cwd=cwd, path=env["PYTHONPATH"], command=command)
        command[-1].write_text('{"header": {}, "results": [1]}')

    monkeypatch.setattr(compare.subprocess, "run", run)
    assert compare.benchmark(tmp_path, "info_nce") == [1]
    assert call["cwd"] == tmp_path
    assert call["path"] == str(tmp_path)
    assert "info_nce" in call["command"]


def test_a_commit_that_does_not_exist(capfd):
    assert compare.main(["no-such-commit"]) == 2
    message = capfd.readouterr().err
    assert "bench-compare: exit status 128 of git" in message
    assert "no-such-commit: see its message above" in message


@pytest.mark.parametrize("argv", [[], ["one", "two"]])
def test_one_base_is_asked_for(argv):
    with pytest.raises(SystemExit):
        compare.main(argv)
