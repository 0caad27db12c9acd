"""The section about evaluations: confusion, pictures, seeds, how a result was made."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from sslfast.report.evaluations import evaluations
from tests.report.markup import Markup


def an_evaluation(rows: list[dict[str, Any]], **more: Any) -> Evaluation:
    return Evaluation("linear", "runs/a", "images", None, {"seeds": 1}, 100, 60, 2, 0.5, rows, **more)


def section_of(folder: Path, weights: str | None = None) -> Markup:
    return Markup("\n".join(evaluations(folder, weights)))


def write_picture(result: Path, ending: str) -> Path:
    path = result.with_name(f"{result.stem}.{ending}")
    Image.fromarray(np.full((90, 120, 3), 99, dtype=np.uint8)).save(path)
    return path


def test_the_confusion_of_the_first_encoder_is_drawn_and_listed(tmp_path: Path) -> None:
    rows = [
        {"encoder": "pre-trained", "top1": 0.9, "confusion": [[0, 0, 24], [0, 1, 6], [1, 1, 30]]},
        {"encoder": "random initialization", "top1": 0.5, "confusion": [[0, 0, 30], [1, 0, 30]]},
    ]
    an_evaluation(rows, class_names=["cat", "dog"]).save(tmp_path)
    drawn = section_of(tmp_path)
    assert drawn.charts == ["What pre-trained takes for what: 54 of 60 images are right"]
    assert "6 of 30" in drawn.text


def test_seeds_show_mean_deviation_and_interval(tmp_path: Path) -> None:
    rows = [
        {"encoder": "pre-trained", "seed": seed, "top1": top1, "confusion": [[0, 0, 60 + seed]]}
        for seed, top1 in ((0, 0.5), (1, 0.7))
    ]
    an_evaluation(rows, class_names=["cat", "dog"]).save(tmp_path)
    drawn = section_of(tmp_path)
    for part in ("60.0% ± 14.1", "47.4 to 71.4%"):  # Wilson's interval of 36 of 60
        assert part in drawn.text, part
    assert drawn.charts == ["What pre-trained takes for what: 121 of 121 images are right"]


def test_pictures_beside_a_result_stand_in_order_under_their_encoder(tmp_path: Path) -> None:
    path = an_evaluation([{"encoder": "pre-trained", "ap": 0.41}]).save(tmp_path)
    for number in (10, 2, 1):
        write_picture(path, f"pre-trained.picture-{number}.jpg")
    write_picture(path, "random_initialization.seed1.picture-1.jpg")
    write_picture(path.with_stem(path.stem + "0"), "pre-trained.picture-7.jpg")  # of another result
    assert section_of(tmp_path).pictures == [
        "pre-trained, picture 1",
        "pre-trained, picture 2",
        "pre-trained, picture 10",
        "random initialization, seed 1, picture 1",
    ]


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    path = an_evaluation([{"encoder": "pre-trained"}]).save(tmp_path)
    write_picture(path, "pre-trained.picture-1.jpg").write_bytes(b"none")
    with pytest.raises(UsageError, match=r"pre-trained\.picture-1\.jpg: cannot be read \(.*; evaluate again"):
        section_of(tmp_path)


def test_how_a_result_was_made_is_told(tmp_path: Path) -> None:
    made = {"versions": {"torch": "2.99"}, "commit": "abc1234", "command": "sslfast evaluate <x>", "seconds": 12.5}
    an_evaluation([{"encoder": "a"}], device="H200", **made).save(tmp_path)
    for part in ("torch 2.99, commit abc1234, on H200, in 12.5 s", "sslfast evaluate <x>"):
        assert part in section_of(tmp_path).text, part


def test_those_of_other_weights_can_be_left_out(tmp_path: Path) -> None:
    an_evaluation([{"encoder": "a", "top1": 0.25}], weights="ab").save(tmp_path)
    an_evaluation([{"encoder": "a", "top1": 0.75}], weights="cd").save(tmp_path)
    assert "25.0%" not in section_of(tmp_path, weights="cd").text
    assert "75.0%" in section_of(tmp_path, weights="cd").text
    assert section_of(tmp_path, weights="ef").text == ""


@pytest.mark.parametrize("confusion", [5, [5], [["a", 0, 1]], [[0, 9, 1]], [[0, 1]], [[-9, 0, 1]]])
def test_a_confusion_that_is_none_is_no_evaluation(tmp_path: Path, confusion: Any) -> None:
    an_evaluation([{"encoder": "a", "confusion": confusion}], class_names=["cat", "dog"]).save(tmp_path)
    with pytest.raises(UsageError, match="not an evaluation of sslfast"):
        section_of(tmp_path)


def test_a_confusion_without_classes_is_no_evaluation(tmp_path: Path) -> None:
    an_evaluation([{"encoder": "a", "confusion": [[0, 0, 1]]}]).save(tmp_path)
    with pytest.raises(UsageError, match="not an evaluation of sslfast"):
        section_of(tmp_path)


def test_results_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for top1 in range(12):  # of a name, as `save` numbers them
        an_evaluation([{"encoder": "a", "top1": top1 / 100}]).save(tmp_path)
    shown = re.findall(r"(\d+)\.0% ", section_of(tmp_path).text)
    assert [int(top1) for top1 in shown] == [*range(12)]
