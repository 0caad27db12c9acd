"""The settings of evaluations, and what is refused."""

from pathlib import Path

import pytest

from sslfast import device
from sslfast.commands.evaluate import evaluate
from sslfast.errors import UsageError
from tests.commands.evaluate.images import write_images


def test_knn(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    evaluation = evaluate("knn", saved, data, overrides=["k=[5, 200, 1000]", "val_fraction=0.25"])
    assert (evaluation.train_images, evaluation.val_images, evaluation.classes) == (45, 15, 3)
    assert evaluation.chance == pytest.approx(1 / 3)
    # k beyond the training images is all of them, once.
    assert [(row["encoder"], row["k"]) for row in evaluation.rows] == [
        ("pre-trained", 5),
        ("pre-trained", 45),
        ("random initialization", 5),
        ("random initialization", 45),
    ]
    assert evaluation.rows[0]["top1"] > 0.9  # the colors are plain to any encoder
    assert evaluation.options["k"] == [5, 200, 1000]


def test_the_precision_that_auto_was_stands_in_the_result(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, settings = write_images(tmp_path / "images"), ["val_fraction=0.25", "device=cpu", "bank=bf16"]
    found = {}
    for capable, precision in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda capable=capable: capable)
        found[precision] = evaluate("knn", saved, data, overrides=settings, random_baseline=False)
        assert found[precision].options["precision"] == precision
        assert found[precision].rows[0]["top1"] > 0.9
    assert found["fp32"].name() != found["bf16"].name()
    given = evaluate("knn", saved, data, overrides=[*settings, "precision=fp32"], random_baseline=False)
    assert given == found["fp32"]


def test_a_protocol_that_trains_on_images_has_no_bf16(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    with pytest.raises(UsageError, match="precision=bf16: protocol=moco trains on augmented images, in fp32"):
        evaluate("linear", saved, data, overrides=["protocol=moco", "precision=bf16"])


def test_one_of_several_neighbor_counts_can_be_set(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    evaluation = evaluate("knn", saved, data, overrides=["k.0=3"], random_baseline=False)
    assert evaluation.options["k"] == [3, 20]


def test_is_deterministic(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    assert evaluate("linear", saved, data) == evaluate("linear", saved, data)


def test_errors(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=4)
    others = write_images(tmp_path / "others", classes=("red", "violet"), each=4)
    unlabeled = str(tmp_path / "images" / "red")
    for match, arguments in {
        "evaluate kn: no such evaluation; did you mean 'knn'": ("kn", saved, data),
        "unknown key 'kk'": ("knn", saved, data, None, ["kk=3"]),
        "temperature.*got -1": ("knn", saved, data, None, ["temperature=-1"]),
        "--data .*red: has no labels": ("knn", saved, unlabeled),
        "--val .*red: has no labels": ("knn", saved, data, unlabeled),
        "lacks: violet": ("linear", saved, data, others),
    }.items():
        with pytest.raises(UsageError, match=match):
            evaluate(*arguments)
