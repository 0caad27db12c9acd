"""What is wrong with annotations is told in a sentence, with the file and the place."""

import json
import logging

import pytest

from sslfast.data.annotations import open_annotated
from sslfast.errors import UsageError
from tests.data.annotations.drawn import draw, write_coco, write_voc, write_yolo

DRAWN = draw(3, seed=1)
SIDES = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"


def refused(root, message, **settings):
    with pytest.raises(UsageError, match=message) as caught:
        open_annotated(str(root), **settings)
    assert "\n" not in str(caught.value)


@pytest.fixture
def voc(tmp_path):
    return write_voc(tmp_path / "voc", DRAWN)


@pytest.fixture
def coco(tmp_path):
    return write_coco(tmp_path / "coco", DRAWN)


@pytest.fixture
def yolo(tmp_path):
    return write_yolo(tmp_path / "yolo", DRAWN)


def voc_object(root, sides, name="cat"):
    box = f"<bndbox>{SIDES.format(*sides)}</bndbox>"
    file = root / "Annotations" / "trainval_001.xml"
    file.write_text(
        f"<annotation><size><width>64</width><height>48</height></size><object><name>{name}</name>{box}</object>"
        "</annotation>"
    )


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ((5, 5, 4, 10), "its box is empty, 0 x 6 pixels"),
        ((5, 5, 90, 10), r"reaches beyond its image of 64 x 48 pixels, from \(4, 4\) to \(90, 10\)"),
        ((-3, 5, 9, 10), "reaches beyond its image of .*"),
        (("nan", 5, 9, 10), "its box has numbers that are not finite"),
    ],
)
def test_objects_that_cannot_be(voc, caplog, sides, message):
    voc_object(voc, sides)
    where = r"trainval_001.xml, object 1, cat: " + message
    refused(voc, where + "; correct it, or go on without it by on_error=skip", on_error="stop")
    refused(voc, "voc: 1 of [3-6] objects cannot be, more than max_bad=0.01 allows; the last is .*" + where)
    with caplog.at_level(logging.WARNING):
        images = open_annotated(str(voc), max_bad=0.5)
    assert [len(images.objects(number)) > 0 for number in range(3)] == [True, False, True]
    assert "left out" in caplog.text


def test_an_object_may_reach_a_pixel_beyond_and_is_cut(voc):
    voc_object(voc, (0, 1, 65, 48))
    assert open_annotated(str(voc)).objects(1).boxes.tolist() == [[0, 0, 64, 48]]


def test_an_object_that_is_there_twice(yolo):
    file = yolo / "labels" / "001.txt"
    file.write_text(f"{file.read_text()}\n{file.read_text()}")
    refused(yolo, r"001.txt, line [23]: is there twice", on_error="stop")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotation>", "001.xml: is not XML"),
        ("", "001.xml: is not XML"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>&b;</annotation>", "001.xml: declares a document type"),
        ("<a><object/></a>", "001.xml, object 1: has no name; give it its class"),
        ("<a><object><name>cat</name></object></a>", "001.xml, object 1, cat: has no bndbox of xmin, ymin"),
        ("<a><size><width>x</width></size></a>", "001.xml: expected whole numbers as height and width"),
    ],
)
def test_voc_files_that_are_malformed(voc, content, message):
    (voc / "Annotations" / "trainval_001.xml").write_text(content)
    refused(voc, message)


def test_entities_in_another_encoding_are_refused_too(voc):
    text = "<?xml version='1.0' encoding='utf-16'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"
    (voc / "Annotations" / "trainval_001.xml").write_bytes(text.encode("utf-16"))
    refused(voc, "declares a document type")


def test_voc_files_that_are_missing(voc):
    (voc / "Annotations" / "trainval_001.xml").unlink()
    refused(voc, "1 of its 3 images have no annotations, the first lacks .*trainval_001.xml")
    (voc / "JPEGImages" / "trainval_002.png").unlink()
    refused(voc, "1 of its 3 images are not in .*JPEGImages, the first is trainval_002")
    (voc / "ImageSets" / "Main" / "trainval.txt").write_text("trainval_000\ntrainval_000\n")
    refused(voc, "lists trainval_000 twice")
    (voc / "ImageSets" / "Main" / "trainval.txt").write_text("\n")
    refused(voc, "lists no images")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 3}, "annotation 1: there is no category 3; remove it, or add the category"),
        ({"image_id": 3}, "annotation 1: there is no image 3; remove it, or add the image"),
        ({"id": 2}, "two annotations have the id 2; remove one, or give it another"),
        ({"id": "1"}, r"annotations\[0\]: expected id as int, got '1'"),
        ({"bbox": [1, 2, 3]}, "annotation 1: expected bbox as"),
        ({"bbox": [1, 2, 3, None]}, "annotation 1: expected bbox as"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 1: segmentation is neither outlines of 3 points"),
        ({"segmentation": {"counts": [3], "size": [48, 64]}}, "annotation 1: segmentation is neither"),
        ({"segmentation": "abc"}, "annotation 1: segmentation is neither"),
        ({"segmentation": []}, "annotation 1: has no segmentation, and others have"),
    ],
)
def test_coco_annotations_that_are_malformed(coco, change, message):
    file = coco / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    assert len(content["annotations"]) > 1
    content["annotations"][0].update(change)
    file.write_text(json.dumps(content))
    refused(coco, r"instances_train2017.json, " + message if "two" not in message else message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 200_000, "is not JSON, or damaged"),
        ("{", "is not JSON, or damaged"),
        ("[]", "expected COCO's images, categories and annotations, got a list"),
        ("{}", "expected COCO's form, with categories in a list"),
        ('{"categories": [1]}', r"categories\[0\] is not an object of JSON"),
        ('{"categories": [{"id": 1}], "images": [{"id": 1}]}', "category 1: expected name as str, got None"),
    ],
)
def test_json_that_is_malformed(coco, content, message):
    (coco / "annotations" / "instances_train2017.json").write_text(content)
    refused(coco, "instances_train2017.json.*" + message)


def test_coco_images_that_are_missing_or_elsewhere(coco):
    (coco / "train2017" / "002.png").unlink()
    refused(coco, "1 of its 3 images are not in .*train2017, the first is 002.png")
    (coco / "train2017" / "000.png").unlink()
    refused(coco, "its first image, 000.png, is in none of the folders train2017, images/train2017")
    file = coco / "annotations" / "instances_train2017.json"
    file.write_text(file.read_text().replace("000.png", "../../000.png"))
    refused(coco, "file_name ../../000.png leads out of the data set's folder")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1 0.2", "expected after the class 4 numbers of a box or pairs .* got 2"),
        ("0 .1 .1 .1 .2 .2 .2 .3", "expected after .* got 7"),
        ("x 0.1 0.1 0.1 0.1", "expected a class's number, then numbers, got x 0.1"),
        ("7 0.1 0.1 0.1 0.1", "there is no class 7; the data set names 2 classes, from 0 to 1"),
        ("-1 0.1 0.1 0.1 0.1", "there is no class -1"),
        ("0 0.5 0.5 0.1 0.1", "is a box, and other lines are outlines"),
    ],
)
def test_yolo_lines_that_are_malformed(yolo, line, message):
    (yolo / "labels" / "001.txt").write_text(f"\n{line}\n")
    refused(yolo, "001.txt, line 2: " + message)


@pytest.mark.parametrize("content", ["names: 3", "names: {1: a}", "a: [", "names: [1, 2]", "- names"])
def test_yolo_names_that_are_malformed(yolo, content):
    (yolo / "data.yaml").write_text(content)
    refused(yolo, "data.yaml: expected ")


def test_yolo_files_that_are_missing(yolo, caplog):
    (yolo / "images" / "001.png").write_bytes(b"nothing")
    refused(yolo, "1 of 3 images cannot be read, more than max_bad=0.01 allows")
    assert len(open_annotated(str(yolo), max_bad=0.5)) == 2
    (yolo / "images" / "000.jpg").write_bytes(b"nothing")
    refused(yolo, "000.png: another image has this name, 000.jpg; remove one of them")
    for file in (yolo / "labels").iterdir():
        file.unlink()
    (yolo / "images" / "000.jpg").unlink()
    refused(yolo, "none of its 3 images has annotations, .*/labels/<name of the image>.txt")


def test_data_of_no_form(tmp_path):
    refused("", "no data is named")
    refused(tmp_path / "missing", "no such file or folder")
    refused(f"{tmp_path}/missing:train", "no such file or folder")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    refused(
        tmp_path, "expected annotated images in the form of VOC .*, COCO .* or YOLO .*, and found none of these"
    )
    (tmp_path / "x.txt").write_text("x")
    refused(tmp_path / "x.txt", "expected a folder or an archive .*, got another kind")


def test_two_classes_of_one_name(coco, yolo):
    file = coco / "annotations" / "instances_train2017.json"
    file.write_text(file.read_text().replace('"name": "square"', '"name": "disk"'))
    refused(coco, "coco: has two classes named 'disk'; give each a name of its own")
    (yolo / "data.yaml").write_text("names: [disk, disk]")
    refused(yolo, "yolo: has two classes named 'disk'; give each a name of its own")
