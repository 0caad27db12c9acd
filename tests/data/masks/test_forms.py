"""The same masks in every form, and what each form adds."""

import numpy as np
import pytest
from PIL import Image

from sslfast.data.annotations import Objects
from sslfast.data.masks import IGNORED, mask_splits, open_masked
from sslfast.data.masks.polygons import painted
from sslfast.data.masks.voc import VOC_CLASSES
from sslfast.errors import UsageError
from tests.data.annotations.drawn import draw, write_coco, write_yolo
from tests.data.masks.drawn import WITH_BACKGROUND, mask_of, write_folders, write_voc

DRAWN = draw(4, seed=0)
WRITERS = {"folders": write_folders, "voc": write_voc, "yolo": write_yolo, "coco": write_coco}


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_masks_that_were_drawn(form, tmp_path):
    WRITERS[form](tmp_path / "outer" / form, DRAWN)
    images = open_masked(str(tmp_path / "outer"))
    assert images.classes == (VOC_CLASSES if form == "voc" else WITH_BACKGROUND)
    assert len(images) == len(images.paths) == len(DRAWN)
    for number, drawn in enumerate(DRAWN):
        image, mask = images.pair(number)
        assert np.abs(np.asarray(image, dtype=int) - np.asarray(drawn.image)).mean() < 8  # VOC's are JPEGs
        assert mask.dtype == np.uint8
        # Pillow takes the pixels of the outlines along, which the annotations' own masks do not.
        assert (mask != mask_of(drawn)).mean() < (0.04 if form in ("yolo", "coco") else 1e-9)
        assert np.array_equal(np.unique(mask), np.unique(mask_of(drawn)))


@pytest.mark.parametrize("form", WRITERS)
def test_subsets_and_limits(form, tmp_path):
    root = str(WRITERS[form](tmp_path / form, DRAWN))
    images = open_masked(root)
    chosen = images.subset([3, 1])
    for number, original in enumerate((3, 1)):
        assert np.array_equal(chosen.pair(number)[1], images.pair(original)[1])
    assert chosen.paths == [images.paths[3], images.paths[1]]
    assert len(images) == 4
    limited = open_masked(root, limit=3)
    assert len(limited) == limited.bad.total == 3
    assert limited.paths == open_masked(root, limit=3).paths


def test_classes_are_matched_by_name(tmp_path):
    images = open_masked(str(write_folders(tmp_path, DRAWN)))
    turned = images.with_classes(["square", "unused", "background", "disk"]).subset([2])
    place = np.array([2, 3, 0])
    assert np.array_equal(turned.pair(0)[1], place[mask_of(DRAWN[2])])
    back = turned.with_classes(["square", "unused", *WITH_BACKGROUND[:2]])
    assert np.array_equal(back.pair(0)[1], turned.pair(0)[1])
    with pytest.raises(UsageError, match="has classes that the training images lack: square; give two parts"):
        images.with_classes(["background", "disk"])


@pytest.mark.parametrize("named", [["square"], ["square", "background"]])
def test_pixels_of_classes_that_are_not_chosen_are_background(tmp_path, named):
    root = write_folders(tmp_path, DRAWN)
    ids = mask_of(DRAWN[1])
    ids[:5] = IGNORED
    Image.fromarray(ids).save(root / "masks" / "001.png")
    chosen = open_masked(str(root)).choose(named)
    assert chosen.classes == ["background", "square"]
    assert np.array_equal(chosen.pair(0)[1], mask_of(DRAWN[0]) == 2)
    assert np.array_equal(chosen.pair(1)[1], np.where(ids == IGNORED, IGNORED, ids == 2))


def test_chosen_classes_and_the_background_are_as_many_as_a_mask_can_hold(tmp_path):
    root, names = write_folders(tmp_path, DRAWN), [f"class {number}" for number in range(255)]
    (root / "classes.txt").write_text("\n".join(names))
    images = open_masked(str(root))
    assert len(images.choose(names[1:]).classes) == 255
    with pytest.raises(UsageError, match="has 256 classes, and a mask can hold 255 at most"):
        images.choose(names)


@pytest.mark.parametrize("of_split", ["{split}/{kind}", "{kind}/{split}"])
def test_folders_in_splits(of_split, tmp_path):
    for split, part in (("train", DRAWN[:3]), ("val", DRAWN[3:])):
        write_folders(tmp_path / "written", part, split)
        for kind in ("images", "masks"):
            target = tmp_path / "data" / of_split.format(split=split, kind=kind)
            target.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "written" / split / kind).rename(target)
    (tmp_path / "written" / "classes.txt").rename(tmp_path / "data" / "classes.txt")
    data = str(tmp_path / "data")
    assert mask_splits(data) == ["train", "val"]
    assert mask_splits(f"{data}:val") == []
    assert (len(open_masked(f"{data}:train")), len(open_masked(f"{data}:val"))) == (3, 1)
    with pytest.raises(UsageError, match="name one that is there: .*:train or .*:val"):
        open_masked(data)
    with pytest.raises(UsageError, match="has no split test; name one that is there: .*:train or .*:val"):
        open_masked(f"{data}:test")


def test_vocs_own_masks_go_before_the_added_ones(tmp_path):
    write_voc(tmp_path, DRAWN[:2], "train")
    write_voc(tmp_path, DRAWN[2:], "aug", masks="SegmentationClassAug")
    for file in (tmp_path / "SegmentationClass").iterdir():
        Image.new("L", (64, 48), 7).save(tmp_path / "SegmentationClassAug" / file.name)
    images = open_masked(f"{tmp_path}:train+aug")
    assert all(np.array_equal(images.pair(n)[1], mask_of(DRAWN[n])) for n in range(4))
    listed = "".join(f"/JPEGImages/aug_00{n}.jpg /SegmentationClassAug/aug_00{n}.png\n" for n in range(2))
    (tmp_path / "ImageSets" / "Segmentation" / "trainaug.txt").write_text(listed)
    assert [path.stem for path in open_masked(f"{tmp_path}:trainaug").paths] == ["aug_000", "aug_001"]
    with pytest.raises(UsageError, match="2 of the 4 images are listed twice"):
        open_masked(f"{tmp_path}:aug+trainaug")
    with pytest.raises(UsageError, match="has no split va; name one that is there: .*:aug or "):
        open_masked(f"{tmp_path}:train+va")


def test_smaller_objects_are_above_larger_ones_and_ignored_ones_below():
    def square(x1, x2):
        return [np.array([(x1, 0), (x2, 0), (x2, 2), (x1, 2)], dtype=np.float32)]

    polygons = [square(2, 4), square(0, 6), square(5, 10)]
    labels, ignored = np.array([0, 1, 2]), np.array([False, False, True])
    objects = Objects(np.zeros((3, 4), np.float32), labels, ignored, polygons)
    for order in ([0, 1, 2], [2, 1, 0]):
        turned = Objects(objects.boxes, labels[order], ignored[order], [polygons[n] for n in order])
        row = painted(turned, 2, 11)[0].tolist()
        assert row == [2, 2, 1, 1, 2, 2, IGNORED, IGNORED, IGNORED, IGNORED, 0]
    assert not painted(Objects(np.zeros((0, 4), np.float32), labels[:0], ignored[:0], []), 3, 4).any()


@pytest.mark.real_data
def test_photographs_with_outlines(shared_data):
    images = open_masked(str(shared_data / "coco128" / "coco128-seg.tar.xz"))
    image, mask = images.pair(0)
    assert (len(images), images.classes[0], mask.shape) == (128, "background", (image.height, image.width))
    assert len(np.unique(mask)) > 1
