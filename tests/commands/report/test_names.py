"""Names that are markup, or that no terminal or page can show."""

import os
from pathlib import Path

import pytest

from sslfast.commands.pretrain import pretrain
from sslfast.commands.report import write_report
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from tests.commands.report.runs import ALL, HOSTILE, drawn, read_page, start_run, train, write_images


def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    run = start_run(tmp_path / f"run {HOSTILE}", write_images(tmp_path / HOSTILE, ["a", HOSTILE], each=10))
    train(run)
    Evaluation(HOSTILE, "last.pt", HOSTILE, HOSTILE, {}, 1, 1, 3, 0.3, [{"encoder": HOSTILE}]).save(
        run / "evaluation"
    )
    page = read_page(write_report(run))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) >= 6  # title, heading, data, configuration, evaluation
    assert f"query: {HOSTILE}" in page.pictures


def test_names_that_no_terminal_or_page_can_show(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, as a folder that was packed under another code page has them."""
    odd = [os.fsdecode(b"\xb4\xac"), "red\x1b[31m\n"]
    images = write_images(tmp_path / odd[0], ["a", *odd], each=10)
    run = start_run(tmp_path / f"run {odd[0]}", images)
    train(run)
    Evaluation("knn", str(run), str(images), None, {}, 1, 1, 3, 0.3, [{"encoder": "x"}]).save(run / "evaluation")
    page = read_page(write_report(run))
    assert drawn(page) == ALL
    assert r"run \udcb4\udcac" in page.text
    assert "\x1b" not in page.text
    with pytest.raises(UsageError, match="is not UTF-8, as TensorBoard's files must be"):
        pretrain("moco_v2_shapes", tmp_path / odd[0] / "run")
