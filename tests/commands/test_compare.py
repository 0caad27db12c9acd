"""`sslfast compare`: the page, the Markdown and the CSV of several runs, whatever the runs have by then."""

import csv
import json
from pathlib import Path

import pytest

from sslfast.cli import main
from sslfast.commands.compare import compare
from sslfast.errors import UsageError
from tests.report.comparison.runs import knn_row, write_evaluation, write_run
from tests.report.markup import Page


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Writes two runs of MoCo v2 that differ in a rate, the first evaluated."""
    found = [write_run(tmp_path / f"r{n}", "moco_v2", f"optim.lr=0.{n}") for n in (1, 2)]
    write_evaluation(found[0], "knn", [knn_row(0.5), knn_row(0.2, "random initialization")])
    return found


def page_of(runs: list[Path], out: Path) -> Page:
    return Page(compare(runs, out).read_text())


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "compare.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_has_all_of_both_runs(runs: list[Path], tmp_path: Path) -> None:
    page = page_of(runs, tmp_path / "out")
    assert page.sections() == ["Runs", "Settings that differ", "Training", "Evaluations"]
    assert [chart.partition(".")[0] for chart in page.charts] == [
        "Training loss",
        "kNN accuracy on held-out images",
        "Learning rate",
        "Training speed, images per second",
    ]
    assert all("r1: " in chart and "r2: " in chart for chart in page.charts)
    assert "r1: 25% at epoch 0, 65% at epoch 2." in page.charts[1]
    for text in ("optim.lr", "65.0%", "55.3 to 73.6%", "50.0%", "40.4 to 59.6%", "the network has learned"):
        assert text in page.text, text
    assert "train.seed" not in page.text  # the same in both


def test_the_csv_has_a_line_for_each_run_in_numbers(runs: list[Path], tmp_path: Path) -> None:
    compare(runs, tmp_path / "out")
    first, second = rows_of(tmp_path / "out")
    assert (first["run"], first["optim.lr"], second["optim.lr"]) == ("r1", "0.1", "0.2")
    assert (float(first["epoch"]), float(first["loss"])) == (2, 4)
    assert (float(first["knn_top1"]), float(first["knn_initial_top1"])) == (0.65, 0.25)
    figures = {
        name.partition("held out, ")[2]: value for name, value in first.items() if name.startswith("knn on")
    }
    assert float(figures["held-out top-1"]) == 0.5
    assert float(figures["held-out top-1, low"]) == pytest.approx(0.404, abs=1e-3)
    assert float(figures["held-out top-1, random initialization, high"]) == pytest.approx(0.289, abs=1e-3)
    assert {value for name, value in second.items() if name.startswith("knn on")} == {""}


def test_the_markdown_has_the_tables(runs: list[Path], tmp_path: Path) -> None:
    compare(runs, tmp_path / "out")
    text = (tmp_path / "out" / "compare.md").read_text()
    assert "| optim.lr | 0.1 | 0.2 |" in text
    assert "| r1 | 50.0% (40.4 to 59.6%) |" in text
    assert "| r2 | - |" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables if "optim" in line or "setting" in line} == {4}


def test_runs_of_different_methods_have_charts_of_their_losses_each(runs: list[Path], tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", "supervised")
    page = page_of([*runs, other], tmp_path / "out")
    losses = [chart for chart in page.charts if chart.startswith("Training loss")]
    assert [chart.partition(".")[0] for chart in losses] == [
        "Training loss of moco_v2",
        "Training loss of supervised",
    ]
    assert "other" not in losses[0]
    assert "r1" not in losses[1]


def test_a_run_that_has_just_begun_stands_beside_one_that_goes_on(tmp_path: Path) -> None:
    begun, going = write_run(tmp_path / "begun", "moco_v2"), write_run(tmp_path / "going", "moco_v2", epochs=1)
    (begun / "metrics.jsonl").unlink()
    with (going / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "epo')
    page = page_of([begun, going], tmp_path / "out")
    assert "0 of 2 not finished" in page.text
    assert "1 of 2 not finished" in page.text
    assert "All settings are the same." in page.text
    assert "None of the runs was evaluated" in page.text
    assert len(page.charts) == 4
    (going / "metrics.jsonl").unlink()
    assert "No run has logged anything yet." in page_of([begun, going], tmp_path / "out").text


def test_it_is_not_written_into_a_run(runs: list[Path]) -> None:
    before = sorted(runs[0].iterdir())
    with pytest.raises(UsageError, match="--out .*: is a run's directory; choose another folder"):
        compare(runs, runs[0])
    assert sorted(runs[0].iterdir()) == before


def test_signs_that_a_run_has_learned_nothing_are_said(runs: list[Path], tmp_path: Path) -> None:
    summary = {"steps": 8, "epochs": 2, "skipped_steps": 0, "loss": 4.0, "chance_loss": 4.0, "std": None}
    summary |= {"even_std": None, "knn_top1": 0.65, "knn_initial_top1": 0.25, "val_images": 100, "judged": True}
    summary["faults"] = [{"kind": "loss_at_chance", "message": "the loss ends at 4.000, which is that of chance"}]
    (runs[1] / "summary.json").write_text(json.dumps(summary))
    assert "The loss ends at 4.000, which is that of chance." in page_of(runs, tmp_path / "out").text
    (runs[1] / "summary.json").write_text(json.dumps(summary | {"epochs": 1}))  # it was extended since
    assert "The loss ends" not in page_of(runs, tmp_path / "out").text


def test_runs_of_the_same_name_and_names_that_are_markup(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / folder / "a|<b>*", "moco_v2") for folder in ("x", "y")]
    page = page_of(runs, tmp_path / "out")
    assert "x/a|<b>*" in page.text
    assert "y/a|<b>*" in page.text
    assert r"| x/a\|\<b\>\* |" in (tmp_path / "out" / "compare.md").read_text()
    assert [row["run"] for row in rows_of(tmp_path / "out")] == ["x/a|<b>*", "y/a|<b>*"]


def test_of_many_runs_ten_are_drawn_and_the_page_says_so(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"run{n:02}", "moco_v2", f"train.seed={n}", epochs=1) for n in range(12)]
    page = page_of(runs[:10], tmp_path / "out")
    assert "Curves are drawn" not in page.text
    page = page_of(runs, tmp_path / "out")
    assert "Curves are drawn of the first 10 runs; the tables have all 12." in page.text
    assert all("run09" in chart and "run10" not in chart for chart in page.charts)
    assert len(rows_of(tmp_path / "out")) == 12


def test_what_is_no_comparison_is_refused(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(runs[0])
    (tmp_path / "empty").mkdir()
    for given, message in {
        (runs[0],): "expected two runs or more, got 1",
        (runs[0], runs[1], tmp_path / "link"): r"r1 and .*link are the same run; give each run once",
        (runs[0], tmp_path / "empty"): r"empty: holds no run of sslfast \(no config\.yaml\)",
        (runs[0], tmp_path / "r3"): "r3: no such file or folder",
    }.items():
        with pytest.raises(UsageError, match=message):
            compare(given, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("config.yaml", "[", r"r1/config\.yaml: not the configuration of a run"),
        ("summary.json", "{}", r"r1/summary\.json: not the summary of a run"),
        ("evaluation/knn.json", "[1, 2", r"r1/evaluation/knn\.json: not an evaluation of sslfast"),
    ],
)
def test_a_damaged_file_is_named(runs: list[Path], tmp_path: Path, file: str, text: str, message: str) -> None:
    (runs[0] / file).write_text(text)
    with pytest.raises(UsageError, match=message):
        compare(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("top1", ["x", -3.0, [1]])
def test_an_accuracy_that_is_none_is_named(runs: list[Path], tmp_path: Path, top1: object) -> None:
    path = write_evaluation(runs[0], "knn", [knn_row(0.5)])
    path.write_text(path.read_text().replace('"top1": 0.5', f'"top1": {json.dumps(top1)}'))
    with pytest.raises(UsageError, match=r"knn\.json: not an evaluation of sslfast"):
        compare(runs, tmp_path / "out")


def test_a_folder_that_cannot_be_written(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match=r"--out .*out: cannot write the comparison: File exists"):
        compare(runs, tmp_path / "out")


def test_the_command_prints_the_page_and_replaces_an_earlier_one(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["compare", "r1", "r2"]) == 0
        assert capsys.readouterr().out == "compare/compare.html\n"
    assert {path.name for path in Path("compare").iterdir()} == {"compare.html", "compare.md", "compare.csv"}
    assert main(["compare", "r1"]) == 2
    assert "expected two runs or more" in capsys.readouterr().err
