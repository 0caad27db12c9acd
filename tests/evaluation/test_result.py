"""The table of an evaluation, and its file."""

import contextlib
import dataclasses
import json

import pytest

from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation


def an_evaluation() -> Evaluation:
    return Evaluation(
        kind="knn",
        checkpoint="runs/a",
        data="shapes",
        val=None,
        options={"k": [200, 20], "device": "auto", "limit": None},
        train_images=900,
        val_images=100,
        classes=10,
        chance=0.1,
        rows=[
            {"encoder": "pre-trained", "k": 200, "top1": 0.512, "top5": 0.93},
            {"encoder": "random initialization", "k": 20, "top1": 0.3},
        ],
        step=1200,
    )


def test_table_is_aligned_and_complete() -> None:
    evaluation = an_evaluation()
    caption, settings, *lines = evaluation.table().splitlines()
    for part in (
        "900 training images",
        "100 held out",
        "10 classes",
        "chance 10.0%",
        "weights of runs/a at step 1200",
    ):
        assert part in caption
    assert settings == "k=[200,20] device=auto limit=null"
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split("  ")[0] == "encoder"
    assert lines[1].split() == ["pre-trained", "200", "51.2%", "93.0%"]
    assert lines[2].split() == ["random", "initialization", "20", "30.0%", "-"]


def test_the_table_shows_names_escaped() -> None:
    evaluation = dataclasses.replace(an_evaluation(), data="a\x1b[2J\nb")
    assert evaluation.table().startswith(r"knn on a\x1b[2J\nb: 900 training images")


def test_nothing_is_replaced(tmp_path) -> None:
    first = an_evaluation()
    for evaluation in (first, first, dataclasses.replace(first, val_images=99), first):
        path = evaluation.save(tmp_path)
        assert Evaluation.load(path) == evaluation
    name = first.name()
    assert name.startswith("knn-shapes-step00001200-")
    assert {file.name for file in tmp_path.iterdir()} == {f"{name}.json", f"{name}-2.json"}


def test_a_name_depends_on_what_the_result_does() -> None:
    first = an_evaluation()
    changes = [
        {"kind": "linear"},
        {"data": "CIFAR10:train"},
        {"val": "CIFAR10:test"},
        {"options": {**first.options, "limit": 40}},
        {"step": 1300},
        {"weights": "1234"},
        {"rows": first.rows[:1]},
    ]
    names = [first.name(), *(dataclasses.replace(first, **change).name() for change in changes)]
    assert len(set(names)) == len(names)
    long = dataclasses.replace(first, data="a" * 240, val="猫" * 80).name()
    assert len(long.encode()) < 200


def test_the_files_of_older_versions_are_read(tmp_path) -> None:
    values = dataclasses.asdict(an_evaluation())
    del values["step"], values["weights"], values["own_split"]
    (tmp_path / "knn-shapes.json").write_text(json.dumps(values))
    old = Evaluation.load(tmp_path / "knn-shapes.json")
    assert (old.rows, old.step, old.weights) == (an_evaluation().rows, None, None)


def test_how_it_was_made_makes_no_other_result(tmp_path) -> None:
    first = an_evaluation()
    again = dataclasses.replace(first, seconds=3.5, versions={"torch": "3"}, commit="abc", device="H", command="c")
    assert first.save(tmp_path) == again.save(tmp_path)
    assert Evaluation.load(again.save(tmp_path)).seconds == 3.5


def test_lists_of_numbers_are_a_line_of_the_file(tmp_path) -> None:
    rows = [{"encoder": "a", "top1": 0.5, "confusion": [[0, 0, 12], [1, 0, 3]], "text": "[\\n 1,\\n 2]"}]
    evaluation = dataclasses.replace(an_evaluation(), rows=rows, class_names=["1", "b"])
    path = evaluation.save(tmp_path)
    lines = [line.strip() for line in path.read_text().splitlines()]
    assert "[0, 0, 12]," in lines
    assert '"k": [200, 20],' in lines
    assert Evaluation.load(path) == evaluation


def test_the_supervised_encoder_is_a_part_of_the_name() -> None:
    names = [
        dataclasses.replace(an_evaluation(), supervised_weights=weights).name() for weights in (None, "a", "b")
    ]
    assert len(set(names)) == 3


@pytest.mark.parametrize("field", ["options", "rows", "chance", "step", "kind"])
def test_what_cannot_be_shown_is_no_evaluation(tmp_path, field) -> None:
    path = an_evaluation().save(tmp_path)
    values = json.loads(path.read_text())
    for value in (None, "x", [1], {"a": 1}, 1e400, [[[]]]):
        path.write_text(json.dumps({**values, field: value}))
        with contextlib.suppress(UsageError):
            Evaluation.load(path).table()
    for content in (b"", b"\xff", b"[" * 5000, b"[1]", b"{}"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not an evaluation"):
            Evaluation.load(path)
