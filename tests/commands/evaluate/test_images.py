"""Which images an evaluation trains on and tests."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sslfast.commands.evaluate import evaluate
from sslfast.config import Recipe
from sslfast.data import open_source, split
from sslfast.data.inventory import take_inventory
from sslfast.errors import UsageError
from sslfast.evaluation import images as images_of_evaluation
from sslfast.evaluation.classification import classification
from sslfast.evaluation.protocol import Row
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.evaluation.result import Evaluation
from sslfast.recipes.load import to_dict
from sslfast.run import checkpoint
from sslfast.run.inventory import write_inventory
from tests.commands.evaluate.images import CLASSES, write_images


def test_the_runs_own_data_is_split_as_in_pre_training(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    state = checkpoint.load(saved)
    state["config"]["data"] |= {"source": "images", "limit": 40, "val_fraction": 0.25}
    checkpoint.save(saved, state)

    def evaluated(data: str, *overrides: str, val: str | None = None) -> Evaluation:
        return evaluate("knn", saved, data, val, overrides, random_baseline=False)

    own = evaluated(images)  # the same place by another path
    assert (own.train_images, own.val_images, own.own_split) == (30, 10, True)
    assert "limit=40 val_fraction=0.25" in own.table()
    assert "10 held out as in pre-training" in own.table()
    overridden = evaluated("images", "limit=20", "val_fraction=0.5")
    assert (overridden.train_images, overridden.val_images, overridden.own_split) == (10, 10, False)
    other = evaluated(write_images(tmp_path / "other"))
    assert (other.train_images, other.val_images, other.own_split) == (54, 6, False)
    apart = evaluated("images", val=str(tmp_path / "other"))
    assert (apart.train_images, apart.val_images, apart.own_split) == (60, 60, False)

    state["config"]["data"] |= {"limit": None, "val_fraction": 0.0}
    checkpoint.save(saved, state)
    unsplit = evaluated("images")
    assert (unsplit.train_images, unsplit.val_images, unsplit.own_split) == (54, 6, False)
    state["config"]["data"]["source"] = "~nouser/images"  # of another machine
    checkpoint.save(saved, state)
    assert not evaluated("images").own_split


def test_a_runs_own_classes_are_those_of_its_evaluation(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=10)
    (tmp_path / "two.txt").write_text("red\nblue\n")
    state = checkpoint.load(saved)
    state["config"]["data"] |= {"source": data, "classes": str(tmp_path / "two.txt")}
    checkpoint.save(saved, state)
    own = evaluate("knn", saved, data, random_baseline=False)
    assert (own.classes, own.train_images, own.val_images, own.own_split) == (2, 18, 2, True)
    (tmp_path / "one.txt").write_text("red\n")
    other = evaluate("knn", saved, data, overrides=[f"classes={tmp_path / 'one.txt'}"], random_baseline=False)
    assert (other.classes, other.train_images, other.val_images, other.own_split) == (1, 9, 1, False)
    elsewhere = evaluate("knn", saved, write_images(tmp_path / "other", each=10), random_baseline=False)
    assert elsewhere.classes == 3


def test_the_split_stays_that_of_pre_training_when_an_image_is_gone(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else images that it was trained on would be held out. More than `max_bad` of them are refused."""
    images = write_images(tmp_path / "images", each=10)
    state = checkpoint.load(saved)
    state["config"]["data"] |= {"source": images, "val_fraction": 0.2}
    checkpoint.save(saved, state)
    before = open_source(images)
    write_inventory(saved.parents[1] / "images.json.gz", take_inventory(before))
    _, held_out = split(before, 0.2)
    tested = []
    monkeypatch.setattr(
        images_of_evaluation, "split", lambda *args: (parts := split(*args), tested.append(parts[1].paths))[0]
    )
    assert before.paths is not None
    before.paths[3].unlink()
    result = evaluate("knn", saved, images, None, ["max_bad=0.1"], random_baseline=False)
    assert tested == [held_out.paths]
    assert result.own_split
    assert result.train_images + result.val_images == 29
    with pytest.raises(UsageError, match="--data .*images does not hold the images of the run: .* 1 are missing"):
        evaluate("knn", saved, images, random_baseline=False)


@pytest.mark.usefixtures("cifar")
def test_a_bare_name_is_its_training_split_against_its_test_split(saved: Path) -> None:
    state = checkpoint.load(saved)
    state["config"]["data"]["source"] = "CIFAR10"
    checkpoint.save(saved, state)

    def evaluated(data: str, val: str | None = None, *overrides: str) -> Evaluation:
        return evaluate("knn", saved, data, val, ["k=[3]", *overrides], random_baseline=False)

    bare = evaluated("CIFAR10")
    assert (bare.data, bare.val, bare.train_images, bare.val_images) == ("CIFAR10:train", "CIFAR10:test", 30, 12)
    assert "knn on CIFAR10:train: 30 training images, 12 held out of CIFAR10:test" in bare.table()
    assert bare == evaluated("CIFAR10:train", "CIFAR10:test") == evaluated("CIFAR10", "CIFAR10:test")
    assert evaluated("CIFAR10:test", "CIFAR10").train_images == 12
    # The training split by name, and a share that is asked for, are parts of the one split.
    own = evaluated("CIFAR10:train")
    assert (own.val, own.train_images, own.val_images, own.own_split) == (None, 27, 3, True)
    share = evaluated("CIFAR10", None, "val_fraction=0.2")
    assert (share.val, share.train_images, share.val_images) == (None, 24, 6)


@pytest.mark.usefixtures("cifar")
def test_the_same_images_on_both_sides_are_refused(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_images(tmp_path / "images", each=4)
    (tmp_path / "link").symlink_to(data)
    (tmp_path / "two").mkdir()
    for name in ("red", "blue"):
        (tmp_path / "two" / name).symlink_to(f"{data}/{name}")
    for train, val in [
        *[("CIFAR10", "CIFAR10"), ("CIFAR10", "CIFAR10:train"), ("CIFAR10:test", "CIFAR10:test")],
        *[("shapes", "shapes"), (data, "images"), (data, "images/"), ("images", "link")],
    ]:
        with pytest.raises(UsageError, match=rf"--val {val}: the images of --data {train}, .* name another split"):
            evaluate("knn", saved, train, val)
    with pytest.raises(UsageError, match="--val two: 8 of its 8 images are among those of --data images; name"):
        evaluate("knn", saved, "images", "two")
    assert not (tmp_path / "run" / "evaluation").exists()


def test_unreadable_files_up_to_a_share(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    (tmp_path / "images" / "red" / "3.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"1 of 60 images cannot be read, more than max_bad=0\.01 allows"):
        evaluate("knn", saved, data)
    evaluation = evaluate("knn", saved, data, overrides=["max_bad=0.05"])
    assert evaluation.train_images + evaluation.val_images == 59


def test_classes_of_a_validation_set_go_by_name(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "train")
    val = write_images(tmp_path / "val", classes=("red", "green"), seed=1)  # other numbers, one class missing
    evaluation = evaluate("knn", saved, data, val, ["k=[5]"])
    assert (evaluation.train_images, evaluation.val_images) == (60, 40)
    assert evaluation.rows[0]["top1"] > 0.9


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_images_to_test_on_and_a_part_to_hold_out_are_not_asked_for_together(kind: str, saved: Path) -> None:
    with pytest.raises(
        UsageError, match="--val b and val_fraction=0.5 both say which images are tested; give one"
    ):
        evaluate(kind, saved, "a", "b", overrides=["val_fraction=0.5"])


def test_all_encoders_see_images_of_many_bits_by_one_range(
    recipe: Recipe,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in CLASSES:
        (tmp_path / "deep" / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng(number).integers(0, 4096, (16, 16), dtype=np.uint16)
            Image.fromarray(pixels).save(tmp_path / "deep" / name / f"{number}.png")
    of_12_bits = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, range=(0, 4095)))
    checkpoint.save(saved, {**checkpoint.load(saved), "config": to_dict(of_12_bits)})
    ranges = []

    def judge(*arguments: Any) -> list[Row]:
        ranges.append(arguments[3].range)
        return [{"top1": 0.0}]

    monkeypatch.setitem(PROTOCOLS, "knn", classification(PROTOCOLS["knn"].config, judge))
    monkeypatch.chdir(tmp_path)  # where the results of random weights lie
    of_run = evaluate("knn", saved, "deep", supervised="random")
    given = evaluate("knn", "random", "deep", overrides=["range=[0, 1023]"], random_baseline=False)
    assert ranges == [(0, 4095)] * 3 + [(0, 1023)]
    assert (of_run.options["range"], given.options["range"]) == ([0, 4095], [0, 1023])
    with pytest.raises(UsageError):
        evaluate("segment", saved, "deep")
    assert "read by all their bits, not by data.range=[0, 4095] of" in caplog.text
