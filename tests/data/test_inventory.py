"""A run's images found again: moved, gone, damaged, replaced, joined by others."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from sslfast.data import Source, load_small, open_source
from sslfast.data.inventory import MISSING, take_inventory
from sslfast.errors import UsageError
from tests.data.photographs import config

CPU = torch.device("cpu")


@pytest.fixture
def root(make_folder):
    return make_folder()  # cat/000.png to dog/003.png


def array_of(count):
    images = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return Source("set", labels=np.arange(count) % 2, classes=["a", "b"], images=images)


def found(inventory, root, *, limited=False, **options):
    return inventory.find(open_source(str(root), **{"max_bad": 0.25, **options}), limited=limited)


def assert_same(source, other, root):
    assert [str(p.relative_to(root)) for p in source.paths] == [
        str(p.relative_to(other.roots[0])) for p in other.paths
    ]
    assert source.classes == other.classes
    assert np.array_equal(source.labels, other.labels)
    assert source.labels.dtype == other.labels.dtype


def test_files_are_known_by_name_and_size(root):
    (root / "cat" / "broken.png").symlink_to("nowhere")
    inventory = take_inventory(open_source(str(root)))
    assert inventory.names[:2] == ["cat/000.png", "cat/001.png"]
    assert inventory.sizes[:2] == [(root / name).stat().st_size for name in inventory.names[:2]]
    assert inventory.sizes[4] == MISSING
    assert inventory.labels == [0] * 5 + [1] * 4
    assert inventory.classes == ["cat", "dog"]


@pytest.mark.parametrize("limit", [None, 5])
def test_the_same_images_in_another_folder(root, tmp_path, limit):
    """In a wrapper, too, as an archive of them has it."""
    before = open_source(str(root), limit=limit)
    inventory = take_inventory(before)
    for place in ("moved", "wrapped/set/train"):
        shutil.copytree(root, tmp_path / place)
        source = found(inventory, tmp_path / place.partition("/")[0], limit=limit, limited=limit is not None)
        assert_same(source, before, tmp_path / place)
        assert not source.bad


def test_several_folders_are_found_each_in_its_place(make_folder, root, tmp_path):
    """One was renamed, the other wrapped."""
    other = make_folder(classes=("ant", "cat"), per_class=2, root=tmp_path / "other")
    before = open_source([str(root), str(other)], limit=9)
    inventory = take_inventory(before)
    assert inventory.names[0] == "0/cat/000.png"
    assert inventory.names[-1] == "1/cat/000.png"
    shutil.copytree(root, tmp_path / "renamed")
    shutil.copytree(other, tmp_path / "moved" / "set")
    places = [str(tmp_path / name) for name in ("renamed", "moved")]
    source = inventory.find(open_source(places, limit=9), limited=True)
    assert [path.parts[-3:] for path in source.paths] == [
        ("renamed" if path.parts[-3] == "images" else "set", *path.parts[-2:]) for path in before.paths
    ]
    assert np.array_equal(source.labels, before.labels)
    assert not source.bad
    with pytest.raises(UsageError, match="it was started on 2 folders or archives, and these are 1"):
        found(inventory, root)
    with pytest.raises(UsageError, match="7 are missing, the first 0/cat/002.png"):
        inventory.find(open_source(places[::-1]), limited=True)


def test_names_are_bytes(root, tmp_path):
    """Not UTF-8, with a line's end."""
    odd = os.fsdecode(b"caf\xe9\n.png")
    (root / "cat" / "000.png").rename(root / "cat" / odd)
    inventory = take_inventory(open_source(str(root)))
    assert_same(found(inventory, root), open_source(str(root)), root)
    (root / "cat" / odd).unlink()
    with pytest.raises(UsageError, match="1 are missing, the first cat/caf"):
        found(inventory, root, max_bad=0.1)


def test_a_vanished_image_keeps_its_position_and_is_unreadable(root, caplog):
    before = open_source(str(root))
    inventory = take_inventory(before)
    (root / "cat" / "002.png").unlink()
    source = found(inventory, root)
    assert_same(source, before, root)
    assert list(source.bad.reasons) == [root / "cat" / "002.png"]
    assert "cat/002.png, unreadable file 1 among 8 images: it is gone" in caplog.text


def test_one_that_vanished_from_a_limited_set_is_not_replaced(root):
    before = open_source(str(root), limit=4)
    inventory = take_inventory(before)
    before.paths[1].unlink()
    source = found(inventory, root, limit=4, limited=True)
    assert_same(source, before, root)
    assert (source.bad.total, list(source.bad.reasons)) == (4, [before.paths[1]])


def test_the_last_image_of_a_class_keeps_its_label(make_image, make_folder, tmp_path):
    root = make_folder(classes=("ant", "bee"), per_class=8)
    make_image(root / "aardvark" / "only.png")
    before = open_source(str(root))
    inventory = take_inventory(before)
    (root / "aardvark" / "only.png").unlink()
    assert_same(found(inventory, root), before, root)


@pytest.mark.parametrize("options", [{"max_bad": 0.1}, {"max_bad": 1, "on_error": "stop"}], ids=str)
def test_more_missing_images_than_may_be_unreadable(root, options):
    inventory = take_inventory(open_source(str(root)))
    (root / "cat" / "002.png").unlink()
    with pytest.raises(UsageError, match="of its 8 images in .*images 1 are missing, the first cat/002.png$"):
        found(inventory, root, **options)


def test_a_damaged_image_is_unreadable(root, caplog):
    """As in the run that it was damaged in."""
    inventory = take_inventory(open_source(str(root)))
    (root / "dog" / "001.png").write_bytes(b"damaged")
    os.unlink(root / "dog" / "003.png")
    os.mkfifo(root / "dog" / "003.png")
    source = found(inventory, root)
    assert set(source.bad.reasons) == {root / "dog" / "001.png", root / "dog" / "003.png"}
    with pytest.raises(UsageError, match="1 are of another size, the first dog/001.png: [0-9]+ bytes, now 7"):
        found(inventory, root, max_bad=0.2)


def test_another_image_of_the_same_name_is_refused(root, make_image):
    inventory = take_inventory(open_source(str(root)))
    make_image(root / "dog" / "001.png", size=(40, 40))
    with pytest.raises(UsageError, match="1 are of another size, the first dog/001.png: [0-9]+ bytes, now [0-9]+"):
        found(inventory, root, max_bad=1)


def test_a_link_that_was_broken_and_now_leads_to_an_image_is_another_image(root):
    (root / "cat" / "link.png").symlink_to("nowhere.png")
    inventory = take_inventory(open_source(str(root)))
    assert not found(inventory, root).bad
    shutil.copy(root / "cat" / "000.png", root / "cat" / "nowhere.png")
    with pytest.raises(UsageError, match="of another size, the first cat/link.png: not there, now [0-9]+ bytes"):
        found(inventory, root)


def test_other_images_of_the_same_number_are_refused(root, make_folder, tmp_path):
    inventory = take_inventory(open_source(str(root)))
    other = make_folder(classes=("ant", "bee"), root=tmp_path / "other")
    missing, new = "8 are missing, the first cat/000.png", "8 are new, the first ant/000.png"
    message = f"^{other} does not hold the images of the run: of its 8 images in {root} {missing}; {new}$"
    with pytest.raises(UsageError, match=message):
        found(inventory, other)


def test_new_images_are_left_out_with_a_sentence(root, make_image, caplog):
    before = open_source(str(root))
    inventory = take_inventory(before)
    make_image(root / "ant" / "a\x1b.png")
    make_image(root / "cat" / "0001.png")
    assert_same(found(inventory, root), before, root)
    (record,) = caplog.records
    assert (
        "left out 2 images that are new since the run was started, the first ant/a\\x1b.png" in record.getMessage()
    )
    caplog.clear()
    found(inventory, root, limited=True)
    assert not caplog.records


def test_arrays_are_known_by_their_content():
    array = array_of(20)
    inventory = take_inventory(array)
    again = array_of(20)
    assert inventory.find(again, limited=True) is again
    changed = array.subset(range(20))
    changed.images[7, 3, 2, 1] ^= 1
    relabeled = array.subset(range(20))
    relabeled.labels[7] += 1
    for other in (changed, relabeled, array.subset([*range(1, 20), 0])):
        with pytest.raises(UsageError, match="^set .*: they are as many as those of set, but others$"):
            inventory.find(other, limited=True)
    with pytest.raises(UsageError, match="it was started on 20 of set, and these are 19"):
        inventory.find(array.subset(range(19)), limited=True)


def test_files_are_no_array(root):
    files, array = open_source(str(root)), array_of(8)
    with pytest.raises(UsageError, match="it was started on files of .*images, and these are an array"):
        take_inventory(files).find(array, limited=False)
    with pytest.raises(UsageError, match="it was started on an array, set, and these are files"):
        take_inventory(array).find(files, limited=False)


def decoded(source):
    return load_small(source, config(pipeline="resident"), CPU)


def mark(root):
    """Makes a folder's images tellable: of one color each, its number."""
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(path)


def numbers(source):
    return source.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("gone", "places"),
    [
        ([], [0, 1, 3, 4, 5, 6, 7]),
        (["cat/001.png"], [0, 3, 3, 4, 5, 6, 7]),
        (["dog/003.png"], [0, 1, 3, 4, 5, 6, 0]),
        (["cat/000.png", "cat/001.png"], [3, 3, 3, 4, 5, 6, 7]),
        (["cat/002.png"], [0, 1, 3, 4, 5, 6, 7]),
    ],
    ids=str,
)
def test_decoded_images_keep_their_places(root, gone, places):
    """cat/002.png was unreadable from the start on: it has none, also when it is mended."""
    mark(root)
    whole = (root / "cat" / "002.png").read_bytes()
    (root / "cat" / "002.png").write_bytes(whole[::-1])
    before = open_source(str(root), max_bad=0.5)
    assert numbers(decoded(before)) == [0, 1, 3, 4, 5, 6, 7]
    inventory = take_inventory(before)
    assert inventory.left_out == ["cat/002.png"]
    (root / "cat" / "002.png").write_bytes(whole)
    for name in gone:
        (root / name).unlink()
    source = found(inventory, root, max_bad=0.5)
    now = inventory.places(source, decoded(source))
    assert numbers(now) == places
    assert now.labels.tolist() == [0 if n < 4 else 1 for n in places]


def test_what_is_not_decoded_has_its_places(root):
    source = open_source(str(root))
    inventory = take_inventory(source)
    assert inventory.places(source, source) is source
    array = array_of(8)
    assert take_inventory(array).places(array, array) is array
