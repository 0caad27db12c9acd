"""The same annotated images in every form, and what each form adds."""

import json

import numpy as np
import pytest
from PIL import Image

from sslfast.data.annotations import open_annotated
from sslfast.data.sources.images import UnreadableImage
from sslfast.errors import UsageError
from tests.data.annotations.drawn import CLASSES, HEIGHT, WIDTH, box_of, draw, write_coco, write_voc, write_yolo

DRAWN = draw(4, seed=0)
WRITERS = {"yolo": write_yolo, "coco": write_coco, "voc": write_voc}


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_objects_that_were_drawn(form, tmp_path):
    images = open_annotated(str(WRITERS[form](tmp_path / form, DRAWN)))
    assert images.classes == CLASSES
    assert len(images) == len(DRAWN)
    assert images.has_masks == (form != "voc")
    for number, (picture, drawn) in enumerate(DRAWN):
        assert np.array_equal(images.image(number), picture)
        objects = images.objects(number)
        assert objects.labels.tolist() == [label for label, _ in drawn]
        assert objects.boxes == pytest.approx(np.array([box_of(outline) for _, outline in drawn]), abs=1e-4)
        assert not objects.ignored.any()
        if images.has_masks:
            assert [len(polygons) for polygons in objects.polygons] == [1] * len(drawn)
            assert objects.polygons[0][0] == pytest.approx(drawn[0][1], abs=1e-4)


@pytest.mark.parametrize("form", WRITERS)
def test_a_wrapper_folder_is_seen_through(form, tmp_path):
    WRITERS[form](tmp_path / "outer" / "inner", DRAWN)
    assert len(open_annotated(str(tmp_path / "outer"))) == len(DRAWN)


def test_a_subset_and_a_limit(tmp_path):
    name = str(write_yolo(tmp_path / "d", DRAWN))
    images = open_annotated(name)
    chosen = images.subset([2, 0])
    assert chosen.paths == [images.paths[2], images.paths[0]]
    assert chosen.objects(1) is images.objects(0)
    assert chosen.bad is images.bad
    limited = open_annotated(name, limit=2)
    assert len(limited) == 2
    assert limited.paths == open_annotated(name, limit=2).paths


def test_splits_are_named_after_a_colon(tmp_path):
    for split, count in (("train2017", 3), ("val2017", 1)):
        write_coco(tmp_path / "coco", DRAWN[:count], split)
        write_voc(tmp_path / "VOC2007", DRAWN[:count], split)
    for root in ("coco", "VOC2007"):
        name = str(tmp_path / root)
        assert [len(open_annotated(f"{name}:{split}")) for split in ("train2017", "val2017")] == [3, 1]
        with pytest.raises(UsageError, match=f"{name}: has several splits; .* {name}:train2017 or {name}:val2017"):
            open_annotated(name)
        with pytest.raises(
            UsageError, match=f"{name}:test: .* no split test; .*{name}:train2017 or {name}:val2017"
        ):
            open_annotated(f"{name}:test")
    assert len(open_annotated(str(tmp_path / "coco" / "annotations" / "instances_val2017.json"))) == 1


def test_several_voc_folders_are_one_data_set(tmp_path):
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", DRAWN[:1])
    write_voc(tmp_path / "VOCdevkit" / "VOC2012", DRAWN[1:])
    images = open_annotated(f"{tmp_path}/VOCdevkit:trainval")
    assert len(images) == len(DRAWN)
    assert images.classes == CLASSES


def test_several_names_are_taken_together(tmp_path):
    write_voc(tmp_path / "a", DRAWN[:1])
    write_voc(tmp_path / "b", DRAWN[1:])
    for file in (tmp_path / "b" / "Annotations").iterdir():
        file.write_text(file.read_text().replace("disk", "ring"))
    images = open_annotated([str(tmp_path / "a"), str(tmp_path / "b")])
    assert len(images) == len(DRAWN)
    found = {images.classes[label] for number in range(1, 4) for label in images.objects(number).labels}
    assert found == {"ring", "square"}
    with pytest.raises(UsageError, match="a: 1 of its 1 images are given twice, the first .*png; name each once"):
        open_annotated([tmp_path / "a", tmp_path / "a"])
    write_coco(tmp_path / "c", DRAWN)
    with pytest.raises(
        UsageError, match="a and .*c: the objects of one have outlines and those of the other boxes"
    ):
        open_annotated([tmp_path / "a", tmp_path / "c"])


def test_voc_counts_pixels_from_1_and_marks_difficult_objects(tmp_path):
    root = write_voc(tmp_path / "voc", DRAWN[:1])
    (file,) = (root / "Annotations").iterdir()
    sides = "<xmin>1</xmin><ymin>2</ymin><xmax>64</xmax><ymax>48</ymax>"
    file.write_text(
        f"<annotation><object><name>cat</name><difficult>1</difficult><part><bndbox/></part>"
        f"<bndbox>{sides}</bndbox></object></annotation>"
    )
    objects = open_annotated(str(root)).objects(0)
    assert objects.boxes.tolist() == [[0, 1, 64, 48]]
    assert objects.ignored.tolist() == [True]


def test_coco_crowds_are_ignored_and_have_runs(tmp_path):
    root = write_coco(tmp_path / "coco", DRAWN[:1])
    file = root / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    counts = [2 * HEIGHT, 3, HEIGHT - 3, 4, HEIGHT * (WIDTH - 3) - 4]
    crowd = {"size": [HEIGHT, WIDTH], "counts": counts}
    content["annotations"].append(
        {**content["annotations"][0], "id": 77, "bbox": [2, 0, 2, 4], "segmentation": crowd, "iscrowd": 1}
    )
    file.write_text(json.dumps(content))
    objects = open_annotated(str(root)).objects(0)
    assert objects.ignored.tolist() == [False] * len(DRAWN[0].objects) + [True]
    expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
    expected[:3, 2] = expected[:4, 3] = True
    assert np.array_equal(objects.masks(HEIGHT, WIDTH)[-1], expected)


def test_yolo_boxes_unlabeled_images_and_numbers_for_names(tmp_path):
    root = write_yolo(tmp_path / "yolo", DRAWN[:3])
    (root / "data.yaml").unlink()
    (root / "labels" / "000.txt").write_text("3 0.5 0.5 0.25 0.5\n")
    (root / "labels" / "001.txt").write_text("")
    (root / "labels" / "002.txt").unlink()
    images = open_annotated(str(root))
    assert images.classes == ["0", "1", "2", "3"]
    assert [len(images.objects(number)) for number in range(3)] == [1, 0, 0]
    assert images.objects(0).boxes.tolist() == [[24, 12, 40, 36]]
    assert not images.has_masks


@pytest.mark.parametrize("content", ["names:\n  0: disk\n  1: square\n", "names: [disk, square]\n"])
def test_yolo_names_as_a_mapping_or_a_list(tmp_path, content):
    root = write_yolo(tmp_path / "yolo", DRAWN)
    (root / "data.yaml").write_text(content)
    assert open_annotated(str(root)).classes == CLASSES


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_photograph_is_read_as_it_was_annotated(tmp_path, orientation):
    root = write_coco(tmp_path / "coco", DRAWN[:1])
    upright = DRAWN[0].image
    back = {5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}
    mirrored = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM"}
    stored = upright.transpose(Image.Transpose[(back | mirrored)[orientation]])
    exif = Image.Exif()
    exif[274] = orientation
    stored.save(root / "train2017" / "000.png", exif=exif)
    assert np.array_equal(open_annotated(str(root)).image(0), upright)  # annotated upright
    file = root / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    content["images"][0].update(height=WIDTH, width=HEIGHT)
    content["annotations"] = [
        {**content["annotations"][0], "bbox": [1, 1, 5, 5], "segmentation": [[1, 1, 6, 1, 6, 6]]}
    ]
    file.write_text(json.dumps(content))
    images = open_annotated(str(root))
    if orientation in back:  # annotated as it lies in the file
        assert np.array_equal(images.image(0), stored)
    else:
        with pytest.raises(UsageError, match="000.png: has 64 x 48 pixels, .* of an image of 48 x 64"):
            images.image(0)


def test_an_unreadable_image_is_told_when_it_is_read(tmp_path):
    root = write_voc(tmp_path / "voc", DRAWN)
    (root / "JPEGImages" / "trainval_001.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableImage):
        open_annotated(str(root)).image(1)


@pytest.mark.real_data
def test_coco128(shared_data):
    images = open_annotated(str(shared_data / "coco128" / "coco128-seg.tar.xz"))
    assert (len(images), len(images.classes), images.has_masks) == (128, 80, True)
    for number in range(5):
        picture, objects = images.image(number), images.objects(number)
        masks = objects.masks(picture.height, picture.width)
        for mask, box in zip(masks, objects.boxes, strict=True):
            y, x = mask.nonzero()
            assert [x.min(), y.min(), x.max() + 1, y.max() + 1] == pytest.approx(box.tolist(), abs=2)
