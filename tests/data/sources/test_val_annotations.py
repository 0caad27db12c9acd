"""TinyImageNet as its archive lies: labels of the validation images in a file."""

import re

import pytest

from sslfast.data import open_source
from sslfast.errors import UsageError

BOX = "\t0\t10\t15\t15"


@pytest.fixture
def tiny(tmp_path, make_image):
    """Writes two classes of two images to train on, three images to validate, two to test."""
    root = tmp_path / "tiny-imagenet-200"
    for wnid in ("n02", "n01"):
        for i in range(2):
            make_image(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG{BOX}\n")
    for i in range(3):
        make_image(root / "val" / "images" / f"val_{i}.JPEG")
    lines = [f"val_{i}.JPEG\t{wnid}{BOX}\n" for i, wnid in enumerate(["n02", "n01", "n02"])]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    for i in range(2):
        make_image(root / "test" / "images" / f"test_{i}.JPEG")
    (root / "wnids.txt").write_text("n02\nn01\n")
    (root / "words.txt").write_text("n01\ta\nn02\tb\n")
    return root


def test_its_splits(tiny):
    train = open_source(str(tiny))
    assert (train.name, train.classes, train.labels.tolist()) == (f"{tiny}:train", ["n01", "n02"], [0, 0, 1, 1])
    val = open_source(f"{tiny}:val")
    assert [path.name for path in val.paths] == ["val_0.JPEG", "val_1.JPEG", "val_2.JPEG"]
    assert (val.classes, val.labels.tolist()) == (["n01", "n02"], [1, 0, 1])
    assert open_source(str(tiny / "val")).labels.tolist() == [1, 0, 1]
    test = open_source(f"{tiny}:test")
    assert (len(test), test.labels) == (2, None)


def test_sorted_into_class_folders_the_folders_are_the_classes(tiny, make_image):
    for image in (tiny / "val" / "images").iterdir():
        image.unlink()
    make_image(tiny / "val" / "n01" / "val_1.JPEG")
    make_image(tiny / "val" / "n02" / "val_0.JPEG")
    assert open_source(f"{tiny}:val").labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text + f"val_3.JPEG\tn01{BOX}\n",
            "names 1 images that are not in .*images, the first val_3.JPEG",
        ),
        (
            lambda text: text.replace(f"val_1.JPEG\tn01{BOX}\n", ""),
            "no line for 1 of the 3 images in .* val_1.JPEG",
        ),
        (
            lambda text: text.replace("\t15\t15", "\t15", 1),
            "line 1: expected an image's name, its class and a box",
        ),
        (
            lambda text: text.replace("val_1.JPEG\tn01", "val_1.JPEG n01"),
            "line 2: expected .*, got 'val_1.JPEG n01",
        ),
        (lambda text: text.replace("\tn01\t", "\t\t"), "line 2: expected"),
        (lambda text: text + "\n", "line 4: expected .* got ''"),
        (lambda text: text + f"val_2.JPEG\tn01{BOX}\n", "line 4: val_2.JPEG has a line already"),
        (lambda text: "", "no line for 3 of the 3 images"),
    ],
)
def test_annotations_that_do_not_fit(tiny, change, message):
    annotations = tiny / "val" / "val_annotations.txt"
    annotations.write_text(change(annotations.read_text()))
    with pytest.raises(UsageError, match=f"{re.escape(str(annotations))}.*{message}") as refusal:
        open_source(f"{tiny}:val")
    assert str(refusal.value).isprintable()


def test_annotations_that_are_no_text(tiny):
    (tiny / "val" / "val_annotations.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"val_annotations.txt: cannot be read as text"):
        open_source(f"{tiny}:val")
