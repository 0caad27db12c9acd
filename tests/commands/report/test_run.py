"""The page of a run, whatever the run has by then."""

import dataclasses
import json
from pathlib import Path

import pytest

from sslfast.commands.report import write_report
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from sslfast.run.environment import Start
from sslfast.run.summary import Fault, RunSummary
from tests.commands.report.runs import ALL, HOSTILE, KNN, drawn, read_page, start_run, train, write_images


def test_a_whole_run(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", HOSTILE, "c"], each=8))
    train(run)
    row = {"encoder": "pre-trained", "k": 200, "top1": 0.4321, "top5": 0.9}
    for data in ("images", "others"):
        Evaluation("knn", "last.pt", data, None, {}, 54, 6, 3, 1 / 3, [row]).save(run / "evaluation")

    index = write_report(run)
    assert index == run / "report" / "index.html"
    page = read_page(index)
    assert drawn(page) == ALL
    for part in (
        "3 of 200",
        "43.2%",
        "54 training images",
        "held-out top-1 of 6",
        "14.8 to 76.9%",  # Wilson's interval for 43.21% of 6
        "knn on images",
        "knn on others",
        "Nearest neighbors",
        "pre-trained",
        "random weights",
        "max_bad_steps: 10",
    ):
        assert part in page.text, part


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3))
    page = read_page(write_report(run))
    assert drawn(page) == {"views.1"}
    assert "logged nothing yet" in page.text
    assert "no checkpoint yet" in page.text


def test_a_run_that_has_learned_nothing(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3))
    fault = Fault("loss_at_chance", "the loss ends at ln K & <so> it has learned nothing; lower optim.lr")
    RunSummary(200, 200, 0, 5.5, 5.5, None, None, None, None, 0, True, [fault]).save(run / "summary.json")
    page = read_page(write_report(run))
    assert "The loss ends at ln K & <so> it has learned nothing; lower optim.lr." in page.text
    RunSummary(200, 4, 0, 5.5, 5.5, None, None, None, None, 0, True, [fault]).save(run / "summary.json")
    assert "learned nothing" not in read_page(write_report(run)).text  # it was extended since, and goes on
    RunSummary(200, 200, 0, 3.5, 5.5, None, None, None, None, 0, True, []).save(run / "summary.json")
    assert "learned nothing" not in read_page(write_report(run)).text
    (run / "summary.json").write_text("{}")
    with pytest.raises(UsageError, match=r"summary\.json: not the summary of a run"):
        write_report(run)


def test_too_few_held_out_images_for_an_embedding(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3))
    train(run)
    page = read_page(write_report(run))
    assert drawn(page) == ALL - {"t-SNE"}
    assert "3 held-out images are too few" in page.text


def test_without_labels(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["all"], each=24) / "all")
    train(run, labeled=False)
    page = read_page(write_report(run))
    assert drawn(page) == ALL - {KNN}
    assert "trained on all of them" in page.text


def test_a_run_without_knn(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=10))
    train(run, labeled=False)
    page = read_page(write_report(run))
    assert drawn(page) == ALL - {KNN}
    assert "kNN top-1" not in page.text


def test_an_interrupted_run_of_a_single_line(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=10))
    train(run)
    line = {"step": 10, "epoch": 0.5, "loss": 6.5, "lr": 0.01, "images_per_second": 64.0, "skipped_steps": 3}
    (run / "metrics.jsonl").write_text(json.dumps(line) + '\n{"step": 20, "ep')
    page = read_page(write_report(run))
    assert drawn(page) == ALL - {KNN}
    for part in ("0.5 of 200", "not finished; goes on with --resume", "6.500", "3 steps", "40 s"):  # 10 x 256 / 64
        assert part in page.text, part


def test_when_where_and_how_a_run_was_made(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=10))
    train(run)
    page = read_page(write_report(run))
    assert "date, hardware and versions were not recorded" in page.text
    assert "on 10 held-out images" in page.text  # as the data tells

    date, versions = "2026-11-29T17:26:09+00:00", {"torch": "2.11"}
    start = Start(date, 0, "A GPU", "A CPU", 8, 2, "Linux x86_64", versions, train_images=90, held_out_images=1000)
    later = dataclasses.replace(
        start, date="2026-11-30T08:00:00+00:00", step=1200, processes=1, device="CPU", epochs=3
    )
    latest = dataclasses.replace(later, step=2400, epochs=9)
    lines = [json.dumps(dataclasses.asdict(each)) + "\n" for each in (start, later, latest)]
    (run / "environment.jsonl").write_text("".join(lines))
    page = read_page(write_report(run))
    for part in (
        *("2026-11-29 17:26 UTC", "2026-11-30 08:00 UTC at step 1,200", "at step 2,400, extended to 9 epochs"),
        *("90 trained on, 1,000 held out", "torch 2.11"),
        "2 processes, each with A GPU; A CPU, 8 threads; Linux x86_64; A CPU, 8 threads; Linux x86_64",
        "kNN is 30.0 points above random initialization, on 1,000 held-out images; their 95% intervals do not",
    ):
        assert part in page.text, part


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        write_report(tmp_path)


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    (run / "report").touch()
    with pytest.raises(UsageError, match=r"run/report: cannot draw the report: File exists"):
        write_report(run)


@pytest.mark.parametrize("text", [": [", "[]", "5"])
def test_a_damaged_configuration(tmp_path: Path, text: str) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    (run / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"config\.yaml: not the configuration of a run"):
        write_report(run)
