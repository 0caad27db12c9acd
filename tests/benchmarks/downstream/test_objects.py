"""The objects of `make downstream-check`: all of one class, in their places."""

import tarfile

import pytest

from sslfast.benchmarks.downstream.objects import write_objects

LINES = "17 0.5 0.5 0.2 0.1\n0 0.25 0.25 0.1 0.1\n79 0.1 0.2 0.3 0.4\n"
ONE_CLASS = "0 0.5 0.5 0.2 0.1\n0 0.25 0.25 0.1 0.1\n0 0.1 0.2 0.3 0.4\n"


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "photographs"
    for name, content in {"images/train/a.jpg": "pixels 17", "labels/train/a.txt": LINES}.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(content)
    with tarfile.open(tmp_path / "photographs.tar.xz", "w:xz") as tar:
        tar.add(root, "photographs")
    return tmp_path / "photographs.tar.xz"


def test_objects_keep_their_places_and_become_of_one_class(archive, tmp_path):
    folder = tmp_path / "runs" / "objects"
    write_objects(archive, folder)
    assert (folder / "labels/train/a.txt").read_text() == ONE_CLASS
    assert (folder / "images/train/a.jpg").read_text() == "pixels 17"
    assert [path.name for path in folder.parent.iterdir()] == ["objects"]


def test_a_folder_that_is_there_stays_and_an_unfinished_one_does_not(archive, tmp_path):
    (tmp_path / "objects.partial").mkdir()
    (tmp_path / "objects.partial" / "rest").touch()
    write_objects(archive, tmp_path / "objects")
    assert not (tmp_path / "objects" / "rest").exists()
    archive.unlink()
    write_objects(archive, tmp_path / "objects")
