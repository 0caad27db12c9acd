"""Folders of images: labels, wrappers, what is ignored and what is refused."""

import logging
import os
import re
import shlex
import socket

import pytest

from sslfast.data import open_source
from sslfast.errors import UsageError


def test_class_folders_are_labels(make_folder):
    source = open_source(str(make_folder(classes=("dog", "ant", "cat"), per_class=2)))
    assert source.classes == ["ant", "cat", "dog"]
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [path.parent.name for path in source.paths] == ["ant", "ant", "cat", "cat", "dog", "dog"]
    assert len(source) == 6
    assert source.image(0).size == (16, 16)


def test_flat_folder_is_unlabeled(tmp_path, make_image):
    for name in ("b.jpg", "a.PNG", "c.JpEg"):
        make_image(tmp_path / name)
    source = open_source(str(tmp_path))
    assert [path.name for path in source.paths] == ["a.PNG", "b.jpg", "c.JpEg"]
    assert source.labels is None
    assert source.classes == []


def test_wrappers_are_seen_through_and_depth_belongs_to_the_class(tmp_path, make_image):
    for path in ("set/train/cat/1.png", "set/train/cat/more/2.png", "set/train/dog/deep/er/3.png"):
        make_image(tmp_path / path)
    source = open_source(str(tmp_path))
    assert source.classes == ["cat", "dog"]
    assert source.labels.tolist() == [0, 0, 1]


def test_images_beside_folders_are_unlabeled(tmp_path, make_image, caplog):
    for path in ("1.png", "cat/2.png", "dog/3.png"):
        make_image(tmp_path / path)
    source = open_source(str(tmp_path))
    assert len(source) == 3
    assert source.labels is None
    assert "1 images lie beside folders" in caplog.text


def test_other_files_are_counted_in_one_warning(make_folder, make_image, caplog):
    root = make_folder()
    for name in ("notes.txt", "cat/labels.csv", "cat/noextension"):
        (root / name).write_text("x")
    for hidden in (".DS_Store", ".git/1.png", "__MACOSX/cat/._1.png", "cat/.hidden.png"):
        make_image(root / hidden) if hidden.endswith("png") else (root / hidden).touch()
    with caplog.at_level(logging.WARNING):
        source = open_source(str(root))
    assert len(source) == 8
    assert source.classes == ["cat", "dog"]
    (record,) = caplog.records
    assert "ignored 3 of 11 files" in record.getMessage()


def test_loops_of_links_end(make_folder):
    root = make_folder()
    (root / "cat" / "loop").symlink_to(root, target_is_directory=True)
    (root / "dog" / "self").symlink_to(root / "dog", target_is_directory=True)
    assert len(open_source(str(root))) == 8


def test_linked_classes_are_followed(make_folder, tmp_path):
    root = make_folder()
    links = tmp_path / "links"
    links.mkdir()
    for name in ("cat", "dog"):
        (links / name).symlink_to(root / name, target_is_directory=True)
    assert open_source(str(links)).labels.tolist() == [0] * 4 + [1] * 4


def test_empty_folder(tmp_path):
    with pytest.raises(UsageError, match="is empty"):
        open_source(str(tmp_path))


def test_folder_without_images(tmp_path):
    for name in ("1.HEIC", "2.heic", "3.heic", "4.heic", "5.txt", "6.txt", "7.txt", "8.csv", "9.csv", "notes"):
        (tmp_path / name).write_text("x")
    expected = "expected .jpg, .png, .tif, .webp or another of 25 endings"
    message = f"none of the 10 files in .* is an image: they end in .heic, .txt, .csv; {expected}$"
    with pytest.raises(UsageError, match=message):
        open_source(str(tmp_path))
    for path in tmp_path.glob("*.*"):
        path.unlink()
    with pytest.raises(UsageError, match="none of the 1 files in .* they end in nothing; expected"):
        open_source(str(tmp_path))


def test_folder_of_splits_of_which_none_is_plainly_for_training(tmp_path, make_image):
    for path in ("train_0/cat/1.png", "train_1/cat/2.png"):
        make_image(tmp_path / path)
    with pytest.raises(
        UsageError, match=r"holds splits of a data set, not classes.*train_0 \(1 images\) or --data"
    ):
        open_source(str(tmp_path))


def test_what_to_type_for_one_of_the_splits(tmp_path, make_image):
    for path in ("my set/seen train/cat/1.png", "my set/seen train/dog/2.png", "my set/unseen train/cat/3.png"):
        make_image(tmp_path / path)
    for path in ("my set/seen test/cat/1.png", "my set/unseen test/cat/3.png"):
        make_image(tmp_path / path)
    (tmp_path / "my set" / "readme.txt").touch()
    with pytest.raises(UsageError) as refusal:
        open_source(str(tmp_path))
    lines = re.findall("--data (.+?) [(]([0-9]+) images[)]", str(refusal.value))
    found = [(len(open_source(*shlex.split(path))), int(count)) for path, count in lines]
    assert found == [(1, 1), (2, 2), (1, 1), (1, 1)]
    assert "\n" not in str(refusal.value)


def test_of_many_splits_some_are_listed(tmp_path, make_image):
    for i in range(12):
        make_image(tmp_path / f"train_{i:x}" / "1.png")
    with pytest.raises(UsageError, match=r"train_7 \(1 images\) or 4 more$"):
        open_source(str(tmp_path))


def test_splits_inside_of_classes_are_taken_together_and_named(tmp_path, make_image, caplog):
    for path in ("bottle/train/1.png", "bottle/test/2.png", "cable/train/3.png", "cable/test/4.png"):
        make_image(tmp_path / path)
    assert open_source(str(tmp_path)).labels.tolist() == [0, 0, 1, 1]
    assert "its classes hold splits (test, train), all of which are taken" in caplog.text


def test_what_is_no_file_is_never_opened(make_folder, caplog):
    """A fifo would wait for a writer without end, /dev/zero has none."""
    root = make_folder()
    os.mkfifo(root / "cat" / "fifo.png")
    (root / "dog" / "zero.png").symlink_to("/dev/zero")
    (root / "dog" / "to the fifo.png").symlink_to(root / "cat" / "fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "cat" / "socket\x1b.png"))
        source = open_source(str(root))
    assert len(source) == 8
    assert [source.image(i).size for i in range(8)] == [(16, 16)] * 8
    (record,) = caplog.records
    assert "ignored 4 fifos, sockets or devices, the first" in record.getMessage()
    assert record.getMessage().isprintable()


@pytest.mark.parametrize("target", ["/dev/zero", "fifo"])
def test_what_is_no_file_is_no_source(tmp_path, target):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "set.tar").symlink_to(tmp_path / target)
    with pytest.raises(UsageError, match="set.tar: expected a folder or an archive .*, got another kind of file"):
        open_source(str(tmp_path / "set.tar"))
