"""The file of a run that lists its images."""

import dataclasses
import gzip
import json
import random
from contextlib import suppress

import pytest

from sslfast.data.inventory import ArrayInventory, FileInventory
from sslfast.errors import TrainingError, UsageError
from sslfast.run.inventory import read_inventory, write_inventory

FILES = FileInventory("a", ["cat/caf\udce9\n.png", "dog/1.png"], [12, -1], [0, 1], ["cat", "dog"], ["dog/1.png"])
SEVERAL = FileInventory("a + b", ["0/cat/1.png", "1/2.png"], [12, 3], None, [], [], 2)
UNLABELED = FileInventory("a", ["1.png"], [12], None, [], [])
ARRAY = ArrayInventory("CIFAR10", 3, "ab12")


@pytest.mark.parametrize(
    "inventory", [FILES, SEVERAL, UNLABELED, ARRAY], ids=["files", "several", "unlabeled", "array"]
)
def test_what_is_written_is_read(tmp_path, inventory):
    path = tmp_path / "images.json.gz"
    assert read_inventory(path) is None
    write_inventory(path, inventory)
    content = path.read_bytes()
    assert read_inventory(path) == inventory
    write_inventory(path, inventory)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["2/1.png", "1.png", "1"])
def test_names_below_a_folder_that_is_none_of_theirs(tmp_path, name):
    path = tmp_path / "images.json.gz"
    write_inventory(path, dataclasses.replace(SEVERAL, names=["0/a.png", name]))
    with pytest.raises(UsageError, match="images.json.gz: not a list of images, or damaged"):
        read_inventory(path)


def test_one_of_an_earlier_version_is_of_one_folder(tmp_path):
    path = tmp_path / "images.json.gz"
    write_inventory(path, FILES)
    content = json.loads(gzip.decompress(path.read_bytes()))
    assert content.pop("num_roots") == 1
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    assert read_inventory(path) == FILES


def test_another_version(tmp_path):
    path = tmp_path / "images.json.gz"
    path.write_bytes(gzip.compress(b'{"version": 2, "kind": "array"}'))
    with pytest.raises(UsageError, match="images.json.gz: a list of images of version 2, and this sslfast reads"):
        read_inventory(path)


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a"]},
        {"names": "ab"},
        {"names": [1, 2]},
        {"sizes": [1, 2.5]},
        {"sizes": [1]},
        {"sizes": None},
        {"labels": [0]},
        {"labels": [0, 2]},
        {"labels": [0, -1]},
        {"classes": None},
        {"left_out": [3]},
        {"kind": "folder"},
        {"kind": ["files"]},
        {"kind": "array"},
        {"more": 1},
        {"source": None},
        {"num_roots": "1"},
        {"num_roots": 2},
    ],
    ids=str,
)
def test_values_of_another_form(tmp_path, change):
    path = tmp_path / "images.json.gz"
    write_inventory(path, FILES)
    content = json.loads(gzip.decompress(path.read_bytes())) | change
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    with pytest.raises(UsageError, match="images.json.gz: not a list of images, or damaged"):
        read_inventory(path)


def test_damaged_bytes(tmp_path):
    path = tmp_path / "images.json.gz"
    write_inventory(path, FILES)
    whole = path.read_bytes()
    rng = random.Random(0)
    for content in (b"", b"x", whole[:-1], whole[:30], gzip.compress(b"[]"), gzip.compress(b"\xff"), whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match="not a list of images, or damaged"):
            read_inventory(path)
    for _ in range(200):
        content = bytearray(whole)
        content[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
        with suppress(UsageError):
            assert read_inventory(path) == FILES  # a bit of the header that means nothing


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "images.json.gz.tmp").mkdir()
    with pytest.raises(TrainingError, match="images.json.gz: cannot write the list of images"):
        write_inventory(tmp_path / "images.json.gz", FILES)
