"""Folders of splits: which one a bare name stands for, which one is tested on, and each by its name."""

import shutil
import tarfile

import pytest

from sslfast.data import open_source
from sslfast.data.sources.folder_splits import folder_splits
from sslfast.data.sources.names import held_out_name, whole_name
from sslfast.data.sources.splits import Splits
from sslfast.errors import UsageError


@pytest.fixture
def make_splits(make_folder, tmp_path):
    """Gives a function that makes a folder of splits, each with `classes` of an image each, or without classes."""

    def make(*splits, unlabeled=(), root=tmp_path / "set"):
        for split in splits:
            make_folder(per_class=1, root=root / split)
        for split in unlabeled:
            make_folder(classes=["images"], per_class=1, root=root / split)
        return root

    return make


@pytest.mark.parametrize(
    ("splits", "unlabeled", "expected"),
    [
        (["train", "val"], [], Splits("train", "val")),
        (["train", "valid"], [], Splits("train", "valid")),
        (["Training", "Testing"], [], Splits("Training", "Testing")),
        (["train", "val"], ["test"], Splits("train", "val", ("test",))),  # ImageNet
        (["train", "valid", "test"], [], Splits("train", "test", ("valid",))),
        (["train", "val_1", "val_2"], [], Splits("train", None, ("val_1", "val_2"))),
        (["train"], ["unlabeled"], Splits("train", None, ("unlabeled",))),
        (["train_0", "train_1"], [], Splits(None, None, ("train_0", "train_1"))),
        (
            ["a_train", "a_test", "b_train", "b_test"],
            [],
            Splits(None, None, ("a_test", "a_train", "b_test", "b_train")),
        ),
        (["cat", "dog"], [], None),
        (["train"], [], None),
    ],
    ids=str,
)
def test_splits_of_a_folder(make_splits, splits, unlabeled, expected):
    root = make_splits(*splits, unlabeled=unlabeled)
    (root / "readme.txt").touch()
    assert folder_splits(root) == expected
    assert folder_splits(root.parent) == expected  # in a wrapper, as archives have it


def test_a_bare_name_is_the_training_split(make_splits):
    root = str(make_splits("train", "val"))
    bare, train = open_source(root), open_source(f"{root}:train")
    assert bare.paths == train.paths
    assert bare.name == train.name == f"{root}:train"
    assert [path.parents[1].name for path in open_source(f"{root}:val").paths] == ["val", "val"]
    assert open_source(f"{root}:val").labels.tolist() == [0, 1]
    assert (whole_name(root), held_out_name(root)) == (f"{root}:train", f"{root}:val")
    assert (whole_name(f"{root}:val"), held_out_name(f"{root}:val")) == (f"{root}:val", None)


def test_splits_in_an_archive(make_splits, tmp_path):
    root = make_splits("train", "val")
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as tar:
        tar.add(root, "top/set")
    archive = str(tmp_path / "set.tar.gz")
    assert [path.parents[1].name for path in open_source(f"{archive}:val").paths] == ["val", "val"]
    assert [path.parents[1].name for path in open_source(archive).paths] == ["train", "train"]
    assert held_out_name(archive) == f"{archive}:val"


def test_a_split_that_is_not_there(make_splits, make_folder):
    root = make_splits("train", "val")
    with pytest.raises(UsageError, match=r":vl: .*set has no split 'vl'; did you mean 'val'\?"):
        open_source(f"{root}:vl")
    with pytest.raises(UsageError, match=r"set:: .*set has no split ''; choose from train, val"):
        open_source(f"{root}:")
    with pytest.raises(UsageError, match="images has no split 'train'; it has no splits"):
        open_source(f"{make_folder()}:train")


def test_a_path_with_a_colon_is_a_path(make_splits, tmp_path):
    root = make_splits("train", "val")
    shutil.copytree(root / "val", tmp_path / "set:train")
    assert open_source(f"{root}:train").paths[0].is_relative_to(tmp_path / "set:train")


def test_a_circle_of_links_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    with pytest.raises(UsageError, match="is empty"):
        open_source(str(tmp_path))


def test_images_beside_splits_are_unlabeled(make_splits, make_image):
    root = make_splits("train", "val")
    make_image(root / "1.png")
    assert open_source(str(root)).labels is None
