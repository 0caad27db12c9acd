"""The names of sources: when two mean the same images."""

import tarfile

import pytest

from sslfast.data.sources.cache import cache_folder
from sslfast.data.sources.names import is_same, joined, listed, one_or_list, place
from sslfast.errors import UsageError


@pytest.fixture
def splits(make_folder, tmp_path, monkeypatch):
    for split in ("train", "val"):
        make_folder(per_class=1, root=tmp_path / "set" / split)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("set", "set:train", True),
        ("set", "./set/", True),
        ("set/train", "set:train", True),
        ("set/val", "set:train", False),
        ("set", "set:val", False),
        ("set", "set/train/cat", False),
        ("CIFAR10", "CIFAR10:train", True),
        ("CIFAR10", "CIFAR10:test", False),
        ("missing", "missing", True),
        ("missing", "set", False),
    ],
)
@pytest.mark.usefixtures("splits")
def test_names_that_mean_the_same(name, other, same):
    assert is_same(name, other) is is_same(other, name) is same


def test_archives(splits):
    with tarfile.open("set.tar", "w") as tar:
        tar.add(splits, "set")
    (splits.parent / "other.tar").write_bytes(b"never looked into")
    assert is_same("set.tar", "./set.tar:train")
    assert not is_same("set.tar", "set.tar:val")
    assert not is_same("set.tar", "other.tar")
    assert not is_same("other.tar", "set")
    assert not list(cache_folder().glob("other*"))


def test_a_split_that_is_not_there_has_no_place(splits):
    with pytest.raises(UsageError, match="set has no split 'test'"):
        place("set:test")


def test_one_name_or_several(tmp_path):
    assert listed("a") == listed(["a"]) == ["a"]
    assert listed(tmp_path) == [str(tmp_path)]
    assert one_or_list(["a"]) == "a"
    assert one_or_list((tmp_path, "b")) == [str(tmp_path), "b"]
    assert joined(["a", "b"]) == "a + b"
