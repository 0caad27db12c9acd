"""`make reproduce`: its cells can run, its record is of them, and its table sets them beside the paper."""

import json
from dataclasses import asdict

import pytest

from sslfast import cli
from sslfast.benchmarks.reproduce import run
from sslfast.benchmarks.reproduce.record import ReproducedRun, content, rows
from sslfast.benchmarks.reproduce.tables import ABLATIONS, METHODS, PUBLISHED, SMALL, SMALL_PROBE, full, small
from sslfast.recipes.load import load_recipe
from sslfast.sweep.commands import commands
from sslfast.sweep.grid import cells
from sslfast.sweep.processes import Workers


@pytest.mark.parametrize("sweeps", [small(), full()], ids=["small", "full"])
def test_the_runs_are_those_of_the_tables_and_can_run(sweeps, tmp_path):
    made = {name: cells(each) for name, each in sweeps.items()}
    assert [cell.row for cell in made["table1"] if cell.seed == 0] == list(METHODS)
    assert [cell.row for cell in made["ablations"]] == list(ABLATIONS)
    for name, each in made.items():
        for cell in each:
            commands(cell, tmp_path, ["shapes"], [], sweeps[name].evaluate)


def test_one_protocol_for_all_in_small():
    recipes = [load_recipe(cell.recipe, cell.overrides) for cell in cells(small()["table1"]) if cell.seed == 0]
    first = recipes[0]
    for recipe in recipes:
        assert recipe.encoder.width == first.encoder.width == 0.125
        assert (recipe.optim, recipe.train) == (first.optim, first.train)
        assert (recipe.data.batch_size, recipe.data.limit, recipe.data.val_fraction) == (64, 10_000, 0.5)


@pytest.fixture
def calls(monkeypatch):
    """Collects the commands that run, in this process."""
    called = []

    def call(self, arguments, device, record):
        called.append(arguments)
        return None if cli.main(arguments) == 0 else "failed"

    monkeypatch.setattr(Workers, "_call", call)
    return called


def test_quick(tmp_path, calls, capsys):
    out = tmp_path / "results" / "quick.json"
    words = [
        "--quick",
        "--data",
        "shapes",
        "--devices",
        "cpu",
        "--runs",
        str(tmp_path / "runs"),
        "--out",
        str(out),
    ]
    assert run.main(words) == 0
    assert [arguments[0] for arguments in calls] == ["pretrain", "evaluate"] * 2
    record = json.loads(out.read_text())
    assert [(each["row"], each["seed"]) for each in record["runs"]] == [("nnclr", 0), ("mncl", 0)]
    assert all(each["epochs"] == [0, 1] and len(each["knn"]) == 2 for each in record["runs"])
    assert all(0 < each["linear"] < 1 <= each["rank"] for each in record["runs"])
    assert record["scale"]["data.batch_size"] == 64
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert run.main(words) == 0  # makes no run again
    assert len(calls) == 4
    assert "| nnclr | 1 |" in capsys.readouterr().out


def test_a_row_alone_takes_its_place_in_the_record(tmp_path, calls, capsys):
    out, data = tmp_path / "quick.json", ["--data", "shapes", "--devices", "cpu"]
    earlier = {
        "header": {"commit": "one"},
        "scale": {"evaluate": SMALL_PROBE, **SMALL},
        "runs": [asdict(one("nnclr", 0, 0.5)), asdict(one("mncl", 0, 0.5))],
    }
    out.write_text(json.dumps(earlier))
    words = ["--quick", *data, "--runs", str(tmp_path / "runs"), "--out", str(out), "--row", "mncl"]
    assert run.main(words) == 0
    assert [arguments[0] for arguments in calls] == ["pretrain", "evaluate"]
    record = json.loads(out.read_text())
    assert record["header"] == {"commit": "one"}
    assert "date" in record["continued"]
    kept, made = record["runs"]
    assert kept == earlier["runs"][0]
    assert (made["row"], made["epochs"]) == ("mncl", [0, 1])
    out.write_text(json.dumps({**earlier, "scale": {}}))
    assert run.main(words) == 2
    assert "quick.json: holds runs of other settings; choose another --out" in capsys.readouterr().err


def test_a_row_that_there_is_not(capsys):
    assert run.main(["--row", "mncl, lamda 2"]) == 2
    assert "--row 'mncl, lamda 2': no such row; did you mean 'mncl, lambda 2'?" in capsys.readouterr().err


def test_a_run_that_fails_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Workers, "_call", lambda *_: "no memory")
    words = [
        "--quick",
        "--data",
        "shapes",
        "--runs",
        str(tmp_path / "runs"),
        "--out",
        str(tmp_path / "quick.json"),
    ]
    assert run.main(words) == 1
    assert "2 of 2 runs have no result" in capsys.readouterr().err


def test_a_scale_that_there_is_not(monkeypatch, capsys):
    monkeypatch.setenv("SCALE", "large")
    assert run.main([]) == 2
    assert "SCALE=large: expected small or full" in capsys.readouterr().err


def one(row, seed, linear, knn=(0.1, 0.2)):
    return ReproducedRun(row, seed, linear, [0.0, 1.0], list(knn), rank=5.0, minutes=2.0)


def test_the_table_has_the_places_here_and_in_the_paper():
    runs = [
        one("mncl", 0, 0.5),
        one("mncl", 1, 0.6),
        one("simclr", 0, 0.57, knn=()),
        one("mncl, lambda 2", 0, 0.9),
    ]
    record = json.loads(json.dumps(content({}, {}, runs)))
    assert rows(record) == [
        ["simclr", "1", "2.0", "57.0%", "", "5.0", "1", "87.11%", "2"],
        ["mncl", "2", "2.0", "55.0% ± 7.1", "20.0% ± 0.0", "5.0", "2", "90.18%", "1"],
        ["mncl, lambda 2", "1", "2.0", "90.0%", "20.0%", "5.0", "", "89.33%", ""],
    ]


def test_published_figures_are_the_papers_tables():
    assert list(PUBLISHED) == [*METHODS, *ABLATIONS]
    assert PUBLISHED["mncl"] == 0.9018
