"""Images in Parquet files, as Hugging Face's data sets have them."""

import json

import numpy as np
import pytest

from sslfast import extras
from sslfast.data import open_source
from sslfast.data.inventory import take_inventory
from sslfast.errors import UsageError
from tests.data.sources.test_shards import jpeg, source_image

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

CLASSES = ["tabby, tabby cat", "dog"]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path, start=0, count=3, *, features=None, **columns):
    """Writes a file of images, numbered from `start` on, as Hugging Face has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": jpeg(i), "path": f"{i}.jpg"} for i in range(start, start + count)]
    table = pyarrow.table({"image": images, **columns})
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=2)
    return path


def described(path, start=0, labels=(0, 1, 0)):
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": CLASSES}}
    return write(path, start, len(labels), features=features, label=list(labels))


def test_images_and_classes_are_those_of_the_file(tmp_path):
    source = open_source(described(tmp_path / "train.parquet"))
    assert (source.classes, source.labels.tolist()) == (["dog", "tabby, tabby cat"], [1, 0, 1])
    assert all(np.array_equal(source.image(i), source_image(i)) for i in (2, 0, 1))


def test_a_folder_is_its_files_in_order(tmp_path):
    for number in range(2):
        described(tmp_path / "data" / f"train-0000{number}-of-00002.parquet", 3 * number)
    source = open_source(tmp_path / "data")
    assert len(source) == 6
    assert np.array_equal(source.image(4), source_image(4))
    described(tmp_path / "data" / "test-00000-of-00001.parquet")
    with pytest.raises(UsageError, match="holds the splits test, train; name the files of one"):
        open_source(tmp_path / "data")
    parts = [tmp_path / "data" / f"train-0000{number}-of-00002.parquet" for number in range(2)]
    assert len(open_source(parts)) == 6


def test_splits_are_folders_too(tmp_path):
    described(tmp_path / "data" / "train" / "0.parquet")
    described(tmp_path / "data" / "test" / "0.parquet", labels=(1, 1))
    assert [len(open_source(f"{tmp_path}/data{split}")) for split in ("", ":test")] == [3, 2]


LABELED = {
    "names": ({"label": ["cat", "dog", "cat"]}, ["cat", "dog"], [0, 1, 0]),
    "numbers": ({"fine_label": [2, 0, 1]}, ["0", "1", "2"], [2, 0, 1]),
    "none": ({"caption": ["a", "b", "c"]}, [], None),
    "a number that is none": ({"label": [0.5, 1.5, 2.5]}, [], None),
    "unlabeled": ({"label": [-1, -1, -1]}, [], None),
}


@pytest.mark.parametrize("kind", LABELED)
def test_a_file_without_a_description(tmp_path, kind):
    columns, classes, labels = LABELED[kind]
    source = open_source(write(tmp_path / "0.parquet", **columns))
    assert source.classes == classes
    assert labels == (None if source.labels is None else source.labels.tolist())


def test_bare_bytes_are_images(tmp_path):
    path = tmp_path / "0.parquet"
    parquet.write_table(pyarrow.table({"jpg": [jpeg(0), jpeg(1)]}), path)
    assert np.array_equal(open_source(path).image(1), source_image(1))


def test_files_are_packed_once_and_again_when_they_change(tmp_path):
    path = described(tmp_path / "0.parquet")
    inventory = take_inventory(open_source(path))
    (shard,) = (tmp_path / "cache").rglob("*.tar")
    written = shard.stat().st_mtime_ns
    source = inventory.find(open_source(path), limited=False)
    assert np.array_equal(source.image(2), source_image(2))
    assert shard.stat().st_mtime_ns == written
    described(path, labels=(1, 1))
    assert len(open_source(path)) == 2
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_what_holds_no_images_is_refused(tmp_path):
    path = tmp_path / "0.parquet"
    parquet.write_table(pyarrow.table({f"text{number}": ["a"] for number in range(20)}), path)
    columns = "text0, text1, text2, text3, text4 and 15 more"
    with pytest.raises(UsageError, match=rf"expected one column of images, got \[\] among {columns}$"):
        open_source(path)
    parquet.write_table(pyarrow.table({"a": [b"a"], "b": [b"b"]}), path)
    with pytest.raises(UsageError, match=r"expected one column of images, got \['a', 'b'\] among a, b"):
        open_source(path)
    parquet.write_table(
        pyarrow.table({"image": [{"bytes": jpeg(0), "path": "a"}, {"bytes": None, "path": "/b"}]}), path
    )
    with pytest.raises(UsageError, match="row 1 has no image's bytes in its column image"):
        open_source(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UsageError, match="0.parquet: cannot be read as Parquet: "):
        open_source(path)


def test_two_columns_of_labels_are_told(tmp_path, caplog):
    label = {"_type": "ClassLabel", "names": CLASSES}
    features = {"image": {"_type": "Image"}, "coarse_label": label, "fine_label": label}
    path = write(tmp_path / "0.parquet", features=features, coarse_label=[0, 0, 0], fine_label=[0, 1, 1])
    assert open_source(path).labels.tolist() == [1, 0, 0]
    assert "its labels are those of the column fine_label, not of coarse_label" in caplog.text


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    path = described(tmp_path / "0.parquet")
    monkeypatch.setattr(extras, "_is_installed", lambda module: module != "pyarrow")
    with pytest.raises(UsageError, match=r'0.parquet needs pyarrow: pip install "sslfast\[data\]"'):
        open_source(path)
