"""The files that a check of the methods leaves, and its verdict."""

import json

import pytest
from PIL import Image

from sslfast.benchmarks.methods import check, pool, run, short
from sslfast.benchmarks.methods.record import RANDOM, SUPERVISED
from sslfast.benchmarks.methods.short import CPU, GPU, SHORT, Short
from sslfast.errors import TrainingError, UsageError
from tests.benchmarks.methods.small import SMALL, runs_in


def test_what_a_check_leaves_and_that_it_goes_on(tmp_path, command, capsys):
    assert command("--epochs", "1") == 1  # from noise nothing is learned
    assert "moco_v2: no clear margin over random initialization by knn and linear" in capsys.readouterr().out
    first = runs_in(tmp_path / "out")
    assert set(first) == {(RANDOM, 0), (SUPERVISED, 0), ("moco_v2", 0)}
    assert first["moco_v2", 0]["epochs"] == 1
    assert first["moco_v2", 0]["random"] == first[SUPERVISED, 0]["random"] == first[RANDOM, 0]["scores"]
    content = json.loads((tmp_path / "out" / "methods.json").read_text())
    assert content["shared"]["images"] == 64
    assert content["shared"]["held_out"] == 32
    assert {"CPU", "versions", "commit", "command"} <= content["header"].keys()
    assert str(tmp_path) not in (tmp_path / "out" / "methods.json").read_text()
    text = (tmp_path / "out" / "methods.txt").read_text()
    assert "moco_v2" in text
    assert "Held equal: the images, the encoder, the evaluations and the epochs; the runs took" in text
    assert Image.open(tmp_path / "out" / "methods.png").width > 500
    assert not list((tmp_path / "runs").iterdir())  # what was needed to go on

    command("--epochs", "1", "--seeds", "2")
    both = runs_in(tmp_path / "out")
    assert set(both) == {(name, seed) for name, _ in first for seed in (0, 1)}
    assert all(both[key] == value for key, value in first.items())  # not run again
    assert command("--epochs", "2") == 2  # another length in one table
    assert "choose another --out" in capsys.readouterr().err


def test_whole_recipes_beside_published_accuracies(tmp_path, command, monkeypatch):
    probes, probe = [], run.linear_probe
    monkeypatch.setattr(
        run, "linear_probe", lambda *x, config, **y: probes.append(config) or probe(*x, config=config, **y)
    )
    command("--published", "--epochs", "1", "--images", "256")
    assert {(config.form, config.lr, config.batch_size, config.epochs) for config in probes} == {
        ("lars", 0.8, 256, 90)
    }
    runs = runs_in(tmp_path / "out")
    assert set(runs) == {(RANDOM, 0), ("moco_v2", 0)}
    assert not set(SMALL) & set(runs["moco_v2", 0]["settings"])
    assert json.loads((tmp_path / "out" / "methods.json").read_text())["shared"]["recipes"] == "whole"
    line = next(line for line in (tmp_path / "out" / "methods.txt").read_text().splitlines() if "moco_v2" in line)
    assert line.endswith(" 84.0%")


def test_a_method_whose_note_explains_it_may_fail_on_few_images(command, monkeypatch, capsys):
    monkeypatch.setitem(SHORT, "moco_v2", Short(SMALL, "a test", note="noise has no classes"))
    assert command("--epochs", "1") == 0
    assert "by knn and linear: noise has no classes" in capsys.readouterr().out
    assert short.note("moco_v2", CPU) == "noise has no classes"
    assert short.note("moco_v2", GPU) == ""  # all images, and time


@pytest.mark.parametrize("error", [TrainingError("diverged"), UsageError("does not fit")])
def test_a_method_that_fails_costs_the_others_nothing(tmp_path, command, monkeypatch, capsys, error):
    def fail(method, *rest):
        if method == "moco_v2":
            raise error
        return run.run_method(method, *rest)

    monkeypatch.setattr(pool, "run_method", fail)
    assert command("--epochs", "1", "--seeds", "2") == 1
    assert f"moco_v2: no result: {error}" in capsys.readouterr().out
    assert {name for name, _ in runs_in(tmp_path / "out")} == {RANDOM, SUPERVISED}


def test_a_method_that_does_not_exist(capsys):
    assert check.main(["--method", "moco_v22"]) == 2
    assert "did you mean 'moco_v2'" in capsys.readouterr().err
