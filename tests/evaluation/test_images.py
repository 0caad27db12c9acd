"""The labeled images of an evaluation: what names mean on both sides, classes by name, and too few images."""

from pathlib import Path

import pytest
from PIL import Image

from sslfast.data import Source
from sslfast.errors import UsageError
from sslfast.evaluation.images import is_same_source, open_labeled, train_and_test
from sslfast.evaluation.options import ClassificationConfig

OPTIONS = ClassificationConfig()


def write_images(folder: Path, classes: str, each: int = 1) -> str:
    """Writes small files, so many of each class; a class is a letter."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            Image.new("RGB", (4, 4), (i, ord(name), 0)).save(folder / name / f"{i}.png")
    return str(folder)


def classes_of(source: Source) -> list[str]:
    assert source.labels is not None
    return [source.classes[label] for label in source.labels]


def test_a_folder_of_splits_is_as_a_data_sets_name(tmp_path: Path) -> None:
    root = str(tmp_path / "set")
    for split in ("train", "val"):
        write_images(tmp_path / "set" / split, "ab")
    assert train_and_test(root, None, OPTIONS) == ([f"{root}:train"], [f"{root}:val"])
    assert train_and_test(f"{root}:train", None, OPTIONS) == ([f"{root}:train"], None)
    assert train_and_test(root, None, ClassificationConfig(val_fraction=0.5)) == ([f"{root}:train"], None)
    assert train_and_test(f"{root}/train", f"{root}:val", OPTIONS) == ([f"{root}/train"], [f"{root}:val"])
    with pytest.raises(UsageError, match=r"--val .*set/train: the images of --data .*set, which an encoder"):
        train_and_test(root, f"{root}/train", OPTIONS)


def test_several_sources_on_both_sides(tmp_path: Path) -> None:
    splits, plain = str(tmp_path / "set"), write_images(tmp_path / "plain", "ab")
    for split in ("train", "val"):
        write_images(tmp_path / "set" / split, "ab")
    assert train_and_test([splits, "CIFAR10"], None, OPTIONS) == (
        [f"{splits}:train", "CIFAR10:train"],
        [f"{splits}:val", "CIFAR10:test"],
    )
    assert train_and_test([splits, plain], None, OPTIONS) == ([f"{splits}:train", plain], None)
    with pytest.raises(UsageError, match=r"--val .*plain: the images of --data .*plain"):
        train_and_test([splits, plain], [f"{splits}:val", plain], OPTIONS)
    train, test = open_labeled([f"{splits}:train", plain], f"{splits}:val", OPTIONS)
    assert (classes_of(train), classes_of(test)) == (list("abab"), list("ab"))


def test_sources_are_the_same_in_the_same_order(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert is_same_source([one, two], [one, two])
    assert not is_same_source([one, two], [two, one])
    assert not is_same_source([one, two], one)
    assert not is_same_source(one, "~nouser/one")


def test_classes_of_the_held_out_images_may_be_some_of_the_others(tmp_path: Path) -> None:
    data, val = write_images(tmp_path / "data", "abcd"), write_images(tmp_path / "val", "db")
    train, test = open_labeled(data, val, OPTIONS)
    assert test.classes == train.classes
    assert classes_of(test) == ["b", "d"]


def test_classes_that_differ_are_listed_from_both_sides(tmp_path: Path) -> None:
    data, val = write_images(tmp_path / "data", "abcx"), write_images(tmp_path / "val", "abcdefghi")
    match = r"of its 9 classes --data .*data lacks: d, e, f, g, h and 1 more; it alone has: x; classes go by"
    with pytest.raises(UsageError, match=match):
        open_labeled(data, val, OPTIONS)
    with pytest.raises(UsageError, match=r"--data .*lacks: x; classes go by"):
        open_labeled(write_images(tmp_path / "less", "ab"), write_images(tmp_path / "more", "abx"), OPTIONS)


def test_chosen_classes_are_those_of_both_sides(tmp_path: Path) -> None:
    data, val = write_images(tmp_path / "data", "abcd"), write_images(tmp_path / "val", "bcde")
    (tmp_path / "list.txt").write_text("d\nb\na\n")
    options = ClassificationConfig(classes=str(tmp_path / "list.txt"))
    train, test = open_labeled(data, val, options)
    assert (train.classes, classes_of(train)) == (["d", "b", "a"], ["a", "b", "d"])
    assert (test.classes, classes_of(test)) == (["d", "b", "a"], ["b", "d"])
    with pytest.raises(UsageError, match=r"val: lacks 1 of the 3 classes that classes= names: a"):
        open_labeled(val, data, options)


def test_a_class_without_an_image_to_train_on(tmp_path: Path) -> None:
    data, val = write_images(tmp_path / "data", "abcdef"), write_images(tmp_path / "val", "abcdef", 3)
    match = r"--data .*data: of 1 classes that are tested no image is left to train on: [a-f]; give more images"
    with pytest.raises(UsageError, match=match):
        open_labeled(data, None, ClassificationConfig(val_fraction=0.1))
    with pytest.raises(UsageError, match=r"data: of \d classes that are tested no image is left to train on"):
        open_labeled(data, val, ClassificationConfig(limit=5))
