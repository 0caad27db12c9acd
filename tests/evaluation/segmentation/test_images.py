"""The training and the held-out images with masks."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from sslfast.data.masks import IGNORED
from sslfast.errors import UsageError
from sslfast.evaluation.segmentation.config import SegmentConfig
from sslfast.evaluation.segmentation.images import count, open_images
from tests.evaluation.segmentation.halves import CLASSES, write_halves

OPTIONS = SegmentConfig(device="cpu")


@pytest.fixture
def root(tmp_path):
    return write_halves(tmp_path / "data", 20, 0)


def opened(data, val=None, **settings):
    return open_images(
        str(data), None if val is None else str(val), dataclasses.replace(OPTIONS, **settings), None
    )


def test_a_part_is_held_out(root):
    images = opened(root)
    assert (len(images.train), len(images.val), images.options.val_fraction) == (18, 2, 0.1)
    assert images.val_data is None
    assert not set(images.train.paths) & set(images.val.paths)
    assert images.val.paths == opened(root).val.paths
    counts = count(images.train, images.val)
    assert (counts.train_images, counts.val_images, counts.classes, counts.chance) == (18, 2, 3, None)
    assert len(opened(root, val_fraction=0.5).val) == 10
    assert len(opened(root, limit=10).train) == 9


def test_a_name_without_a_split_stands_for_train_and_val(tmp_path):
    for split, number in (("train", 4), ("val", 2)):
        (write_halves(tmp_path / "data" / split, number, number) / "classes.txt").replace(
            tmp_path / "data" / "classes.txt"
        )
    images = opened(tmp_path / "data")
    assert (images.data, images.val_data) == (f"{tmp_path}/data:train", f"{tmp_path}/data:val")
    assert (len(images.train), len(images.val)) == (4, 2)
    assert len(opened(f"{tmp_path}/data:train").val) == 1
    with pytest.raises(UsageError, match="has several splits"):
        opened(tmp_path / "data", val_fraction=0.1)


def test_classes_are_matched_by_name_and_images_are_apart(root, tmp_path):
    val = write_halves(tmp_path / "val", 3, 1)
    assert opened(root, val).val.classes == CLASSES
    (val / "classes.txt").write_text("red\ngreen\nviolet\n")
    with pytest.raises(UsageError, match="val: has classes that the training images lack: violet"):
        opened(root, val)
    with pytest.raises(UsageError, match="--val .*: 20 of its 20 images are among those of --data"):
        opened(root, root)


def test_pixels_of_other_classes_than_the_chosen_ones_are_background(root, tmp_path):
    val = write_halves(tmp_path / "val", 3, 1)
    (val / "classes.txt").write_text("red\ngreen\nviolet\n")  # which is not chosen
    found = opened(root, val, classes="green")
    assert found.options.classes == "green"
    for part in (found.train, found.val):
        assert part.classes == ["background", "green"]
        for index in range(len(part)):
            mask = np.array(Image.open(part.paths[index].parents[1] / "masks" / part.paths[index].name))
            assert np.array_equal(part.pair(index)[1], mask == 1)
    assert opened(root, classes="blue,red").train.classes == ["background", "blue", "red"]
    with pytest.raises(UsageError, match="data: lacks 1 of the 1 classes that classes= names: violet; it has red"):
        opened(root, classes="violet,")


def test_several_sources_are_refused(root):
    with pytest.raises(UsageError, match="--data: evaluate segment takes one source, got 2; of Pascal VOC's"):
        open_images([str(root), str(root)], None, OPTIONS, None)


def test_unreadable_images_and_masks_are_left_out(root, caplog):
    (root / "images" / "03.png").write_bytes(b"")
    (root / "masks" / "07.png").write_bytes(b"")
    images = opened(root, max_bad=0.2)
    assert len(images.train) + len(images.val) == 18
    assert "skipped" in caplog.text
    with pytest.raises(UsageError, match="2 of 20 images cannot be read, more than max_bad=0.05 allows"):
        opened(root, max_bad=0.05)
    with pytest.raises(UsageError, match="cannot read .*png"):
        opened(root, on_error="stop")


def test_masks_without_a_class(root):
    for file in (root / "masks").iterdir():
        Image.new("L", (32, 32), IGNORED).save(file)
    with pytest.raises(UsageError, match="no pixel of its 18 masks has a class; all are ignored"):
        opened(root)


def test_all_masks_are_checked_before_training(root):
    Image.fromarray(np.full((32, 32), 9, dtype=np.uint8)).save(root / "masks" / "19.png")
    with pytest.raises(UsageError, match="19.png: has the ids 9"):
        opened(root)


def test_classes_that_only_the_held_out_masks_have_are_named(root, tmp_path, caplog):
    for file in (root / "masks").iterdir():
        Image.new("L", (32, 32), 1).save(file)
    opened(root, write_halves(tmp_path / "val", 5, 1))
    assert "2 classes of the held-out masks are in no training mask: red, blue" in caplog.text
