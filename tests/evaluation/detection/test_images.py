"""The images of a detection: opened in two parts."""

import pytest
from PIL import Image

from sslfast.errors import UsageError
from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.detection.images import count, open_images
from tests.data.annotations.drawn import draw, write_coco, write_voc, write_yolo


def opened(data, val=None, **settings):
    return open_images(str(data), None if val is None else str(val), DetectConfig(device="cpu", **settings), None)


def test_two_splits_and_a_share_that_is_held_out(drawn):
    found = opened(f"{drawn}:train", f"{drawn}:val")
    assert (len(found.train), len(found.val), found.val_data) == (24, 8, f"{drawn}:val")
    found = opened(f"{drawn}:train")
    assert (len(found.train), len(found.val), found.val_data) == (22, 2, None)
    assert found.options.val_fraction == 0.1
    assert not set(found.train.paths) & set(found.val.paths)
    assert opened(f"{drawn}:train").val.paths == found.val.paths
    assert count(found.train, found.val).classes == 2


def test_classes_are_matched_by_name(tmp_path):
    write_voc(tmp_path / "a", draw(6, 0))
    write_voc(tmp_path / "b", draw(6, 1))
    for file in (tmp_path / "b" / "Annotations").iterdir():
        file.write_text(file.read_text().replace("disk", "square"))
    labels = [opened(tmp_path / "a", tmp_path / "b").val.objects(index).labels.tolist() for index in range(6)]
    assert {label for of_image in labels for label in of_image} == {1}
    for file in (tmp_path / "b" / "Annotations").iterdir():
        file.write_text(file.read_text().replace("square", "ring"))
    with pytest.raises(UsageError, match="b: has classes that the training images lack: ring; give two parts"):
        opened(tmp_path / "a", tmp_path / "b")


def test_of_other_classes_than_the_chosen_ones_images_stay(drawn):
    every = opened(f"{drawn}:train", f"{drawn}:val")
    found = opened(f"{drawn}:train", f"{drawn}:val", classes="square")
    assert found.options.classes == "square"
    for part, whole in ((found.train, every.train), (found.val, every.val)):
        assert (part.classes, part.paths) == (["square"], whole.paths)
        for index in range(len(part)):
            objects, before = part.objects(index), whole.objects(index)
            squares = before.labels == 1
            assert not objects.labels.any()
            assert (objects.boxes == before.boxes[squares]).all()
            assert (objects.masks(48, 64) == before.masks(48, 64)[squares]).all()
    swapped = opened(f"{drawn}:train", classes="square,disk").train
    assert swapped.classes == ["square", "disk"]
    assert {label for index in range(len(swapped)) for label in swapped.objects(index).labels.tolist()} == {0, 1}
    with pytest.raises(
        UsageError, match="train: lacks 1 of the 2 classes that classes= names: ring; it has disk, s"
    ):
        opened(f"{drawn}:train", f"{drawn}:val", classes="square,ring")


def test_held_out_images_may_lack_a_chosen_class(tmp_path):
    write_voc(tmp_path / "a", draw(6, 0))
    write_voc(tmp_path / "b", draw(6, 1))
    for file in (tmp_path / "b" / "Annotations").iterdir():
        file.write_text(file.read_text().replace("disk", "ring"))  # which is not chosen
    found = opened(tmp_path / "a", tmp_path / "b", classes="disk,square")
    assert found.val.classes == ["disk", "square"]
    assert {label for index in range(6) for label in found.val.objects(index).labels.tolist()} == {1}


def test_parts_that_share_images_are_refused(drawn):
    file = drawn / "annotations" / "instances_train.json"
    with pytest.raises(UsageError, match="--val .*: 24 of its 24 images are among those of --data"):
        opened(f"{drawn}:train", file)


def test_images_without_objects_cannot_serve(tmp_path):
    write_yolo(tmp_path / "a", draw(4, 0))
    write_yolo(tmp_path / "b", draw(4, 1))
    for file in list((tmp_path / "b" / "labels").iterdir()):
        file.write_text("")
    with pytest.raises(UsageError, match="b: no object is annotated in the 4 held-out images"):
        opened(tmp_path / "a", tmp_path / "b")


def test_masks_need_outlines(tmp_path):
    write_voc(tmp_path / "a", draw(12, 0))
    with pytest.raises(UsageError, match="masks=true: the objects of .*a have boxes alone; leave masks out"):
        opened(tmp_path / "a", masks=True)


def test_unreadable_images_are_left_out_and_counted(tmp_path):
    root = write_coco(tmp_path / "a", draw(12, 0))
    (root / "train2017" / "003.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="1 of 12 images cannot be read, more than max_bad=0.01 allows"):
        opened(root)
    found = opened(root, max_bad=0.2)
    assert len(found.train) + len(found.val) == 11


def test_an_image_of_another_size_than_its_annotations_is_told_at_once(tmp_path):
    root = write_coco(tmp_path / "a", draw(12, 0))
    Image.new("RGB", (32, 24)).save(root / "train2017" / "003.png")
    with pytest.raises(
        UsageError, match="003.png: has 32 x 24 pixels, and its annotations are of an image of 64 x"
    ):
        opened(root)
