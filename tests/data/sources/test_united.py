"""Several sources as one: order, classes by name, and what cannot be taken together."""

from pathlib import Path

import numpy as np
import pytest

from sslfast.config import DataConfig
from sslfast.data import Source, open_data, open_source
from sslfast.data.sources.united import united
from sslfast.errors import UsageError


@pytest.fixture
def two(make_folder, tmp_path):
    first = make_folder(classes=("bee", "cat"), per_class=2, root=tmp_path / "first")
    second = make_folder(classes=("ant", "cat"), per_class=1, root=tmp_path / "second")
    return str(first), str(second)


def array(name, *, side=4, labels=(0, 1), classes=("a", "b")):
    images = np.full((2, side, side, 3), side, dtype=np.uint8)
    return Source(name, labels=labels and np.array(labels), classes=classes if labels else (), images=images)


def test_images_follow_each_other_and_classes_go_by_name(two):
    source = open_data(DataConfig(source=list(two)))
    assert [path.parts[-3] for path in source.paths] == ["first"] * 4 + ["second"] * 2
    assert source.classes == ["bee", "cat", "ant"]
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 1]
    assert source.labels.dtype == np.int64
    assert source.name == " + ".join(two)
    assert (source.bad.source, source.bad.total) == (source.name, 6)
    assert [root.name for root in source.roots] == ["first", "second"]


def test_classes_and_limit_are_of_all_together(two):
    assert open_source(list(two), classes=["cat", "ant"]).labels.tolist() == [0, 0, 1, 0]
    assert sorted(open_source(list(two), limit=3).labels.tolist()) == [0, 1, 2]


def test_with_and_without_labels(two):
    first, flat = two[0], f"{two[1]}/cat"
    for names in ([first, flat], [flat, first]):
        with pytest.raises(UsageError, match="first has labels and .*cat has none; .* data.labels=false"):
            open_source(names)
    source = open_data(DataConfig(source=[first, flat], labels=False))
    assert (len(source), source.labels, source.classes) == (5, None, [])


def test_without_labels_subfolders_are_folders(two):
    source = open_data(DataConfig(source=two[0], labels=False))
    assert (len(source), source.labels, source.classes) == (4, None, [])
    assert open_source("shapes", labels=False).labels is None
    assert open_source("shapes").labels is not None


def test_the_same_images_twice(two, tmp_path, make_folder):
    first, second = two
    (tmp_path / "link").symlink_to(first, target_is_directory=True)
    for again in (first, f"{first}/", str(tmp_path / "link")):
        with pytest.raises(UsageError, match=f"{again}: the images of {first}, which are given already"):
            open_source([first, second, again])
    with pytest.raises(UsageError, match="shapes: the images of shapes, which are given already"):
        open_source(["shapes", "shapes"])
    with pytest.raises(
        UsageError, match="bee: 2 of its 2 images are given by another --data already, the first .*000"
    ):
        open_source([first, f"{first}/bee"], labels=False)
    (tmp_path / "links").mkdir()
    for file in sorted(Path(first, "bee").iterdir()):
        (tmp_path / "links" / f"a link to {file.name}").symlink_to(file)
    with pytest.raises(UsageError, match="links: 2 of its 2 images are given by another --data already"):
        open_source([first, str(tmp_path / "links")], labels=False)
    splits = tmp_path / "splits"
    for split in ("train", "val"):
        make_folder(per_class=1, root=splits / split)
    with pytest.raises(UsageError, match="train: the images of .*splits, which are given already"):
        open_source([str(splits), f"{splits}/train"])
    assert len(open_source([str(splits), f"{splits}:val"])) == 4


def test_no_name():
    with pytest.raises(UsageError, match="no data is named"):
        open_source([""])
    with pytest.raises(UsageError, match="no data is named"):
        open_source([])


def test_arrays():
    source = united([array("x"), array("y", classes=("b", "c"))])
    assert source.images.shape == (4, 4, 4, 3)
    assert (source.labels.tolist(), source.classes) == ([0, 1, 1, 2], ["a", "b", "c"])
    assert united([array("x", labels=None), array("y", labels=None)]).labels is None
    with pytest.raises(
        UsageError, match="x and y: arrays of 4x4 and of 5x5 pixels cannot be taken together; save"
    ):
        united([array("x"), array("y", side=5)])


def test_arrays_and_files(two):
    files = open_source(two[0])
    for sources in ([files, array("x")], [array("x"), files]):
        with pytest.raises(
            UsageError, match="first and x: files and an array cannot be taken together; save .* of x"
        ):
            united(sources)
