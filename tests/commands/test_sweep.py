"""`sslfast sweep` as a whole: two small runs, made once."""

import csv
import re
import shutil

import pytest

from sslfast.cli import main, parse
from sslfast.commands.sweep import sweep
from sslfast.errors import TrainingError, UsageError
from sslfast.sweep import processes
from sslfast.sweep.processes import Workers

SETTINGS = [
    *("data.limit=40", "data.size=16", "data.batch_size=8", "encoder.width=0.0625", "method.hidden=8"),
    *("method.queue_size=16", "optim.warmup_epochs=0", "train.epochs=1", "train.knn_every=0", "method.dim=[4,8]"),
]


def in_this_process(self, arguments, device, record):
    """Runs a command as `Workers` does, without the seconds that a process takes to start."""
    return None if main(arguments) == 0 else "failed"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweeps") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workers, "_call", in_this_process)
        text = sweep("moco_v2_shapes", out, SETTINGS, evaluate="knn k=5 limit=40")
    return out, text


def test_one_table_of_all_runs(made):
    out, text = made
    assert "| method.dim=4 | 1 |" in text
    with (out / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["method.dim=4", "method.dim=8"]
    assert all(0 <= float(row["top1"]) <= 1 for row in rows)
    assert {path.name for path in out.glob("*.html")} == {"sweep.html", "compare.html"}
    assert (out / "method.dim-4-seed0" / "backbone.safetensors").exists()


def test_what_is_finished_is_not_run_again(made, monkeypatch):
    out, text = made
    monkeypatch.setattr(processes, "program", lambda arguments: pytest.fail("runs"))
    assert sweep("moco_v2_shapes", out, SETTINGS, evaluate="knn k=5 limit=40") == text


def test_another_protocol_judges_the_same_runs_and_failures_are_named(made, tmp_path, monkeypatch):
    out, _ = made
    copy = shutil.copytree(out, tmp_path / "copy")
    monkeypatch.setattr(processes, "program", lambda arguments: ["false"])
    with pytest.raises(
        TrainingError, match=r"2 of 2 runs have no result: method\.dim-4-seed0, method\.dim-8-seed0;"
    ):
        sweep("moco_v2_shapes", copy, SETTINGS, evaluate="knn k=6 limit=40")


def test_runs_of_other_settings_are_refused(made):
    out, _ = made
    with pytest.raises(UsageError, match=r"method\.dim-4-seed0: .*optim\.momentum was 0\.9 and is 0\.5"):
        sweep("moco_v2_shapes", out, [*SETTINGS, "optim.momentum=0.5"], evaluate="knn k=5 limit=40")
    with pytest.raises(UsageError, match="is a run's directory"):
        sweep("moco_v2_shapes", out / "method.dim-4-seed0", SETTINGS)


def test_a_dry_run_prints_commands_that_parse(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["sweep", "mncl_table2", "--out", str(out), "--seeds", "2", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 20
    assert (
        lines[0]
        == f"sslfast pretrain mncl_mncl_cifar10 --resume --out {out}/method.lam-2-seed0 method.lam=2 train.seed=0"
    )
    assert lines[1] == f"sslfast evaluate linear {out}/method.lam-2-seed0 --data=CIFAR10 protocol=mncl"
    for line in lines:
        parse(line.split()[1:])
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--evaluate", "lineal"], "no such evaluation; did you mean 'linear'"),
        (["--evaluate", "linear protocol=x"], r"--evaluate linear: protocol: input should be"),
        (["--seeds", "0"], "expected a number of at least 1, got 0"),
        (["--devices", "0,x"], "expected numbers of GPUs, or cpu, with commas between them; got 0,x"),
        (["method.dimm=[1,2]"], r"unknown key 'method\.dimm'; did you mean 'method.dim'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_runs(tmp_path, capsys, arguments, message):
    try:
        code = main(["sweep", "moco_v2_shapes", "--out", str(tmp_path / "out"), *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2

    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
