"""The evaluations on a page."""

import json
from pathlib import Path
from typing import Any

import pytest

from sslfast.commands.report import write_report
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from tests.commands.report.runs import read_page, start_run


def test_several_evaluations_of_a_protocol(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    for step, top1 in ((10, 0.25), (20, 0.75)):
        row = {"encoder": "pre-trained", "train_top1": 0.9, "top1": top1, "class_mean": top1 - 0.0625}
        for kind in ("knn", "linear"):
            Evaluation(kind, "last.pt", "images", None, {"k": 20}, 1000, 60, 3, 0.25, [row], step=step).save(
                run / "evaluation"
            )
    page = read_page(write_report(run))
    headings = [text for level, text in page.headings if level == 3]
    assert headings == ["knn on images", "knn on images", "linear on images", "linear on images"]
    assert page.sections().count("Evaluations") == 1
    intervals = ("15.8 to 37.2%", "88.0 to 91.7%")  # of 15 of 60, 900 of 1,000
    for part in ("at step 10", "at step 20", *intervals, "68.8%", "k=20"):
        assert part in page.text, part


VALID = {
    "kind": "knn",
    "checkpoint": "last.pt",
    "data": "images",
    "val": None,
    "options": {"k": 20},
    "train_images": 54,
    "val_images": 6,
    "classes": 3,
    "chance": 0.3,
    "rows": [{"encoder": "x", "top1": 0.5}],
}


@pytest.mark.parametrize(
    "changes",
    [
        *({"rows": 5}, {"rows": [5]}, {"rows": ["x"]}, {"rows": [{"top1": "x"}]}, {"rows": [{"top1": -3.0}]}),
        *({"options": 5}, {"val_images": "x"}, {"val_images": -6}, {"chance": "x"}, {"unknown": 1}),
    ],
)
def test_what_is_not_an_evaluation_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    (run / "evaluation").mkdir()
    file = run / "evaluation" / "knn.json"
    file.write_text(json.dumps(VALID))
    write_report(run)
    for text in ("[1, 2", json.dumps({**VALID, **changes})):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"knn\.json: not an evaluation"):
            write_report(run)
