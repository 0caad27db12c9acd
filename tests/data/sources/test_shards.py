"""WebDataset shards: the images that a folder would hold, read at any place of an archive."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from sslfast.data import open_source
from sslfast.data.inventory import take_inventory
from sslfast.data.sources.images import UnreadableImage
from sslfast.errors import UsageError
from tests.data.sources.archives import write_archive

PER_SHARD = 3


def jpeg(seed, size=(40, 30)):
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(file, "jpeg")
    return file.getvalue()


def write_shards(folder, count=2, label=lambda i: {"cls": str(i % 2).encode()}):
    """Writes shards of three images each, numbered from 0 on, and beside each what `label` makes of its number."""
    for shard in range(count):
        files = {}
        for i in range(shard * PER_SHARD, (shard + 1) * PER_SHARD):
            files[f"{i:04}.jpg"] = jpeg(i)
            files |= {f"{i:04}.{kind}": content for kind, content in label(i).items()}
        write_archive(folder / f"train-{shard:03}.tar", files)
    return folder


def test_images_and_labels_are_those_of_the_shards(tmp_path):
    source = open_source(write_shards(tmp_path / "shards"))
    assert (len(source), source.classes, source.labels.tolist()) == (6, ["0", "1"], [0, 1, 0, 1, 0, 1])
    for i in reversed(range(6)):
        assert np.array_equal(source.image(i), Image.open(io.BytesIO(jpeg(i))))
    assert str(source.paths[4]) == str(tmp_path / "shards" / "train-001.tar" / "0004.jpg")


NAMES = ["cat", "Dog", "cat", "eel", "cat", "Dog"]
LABELED = {
    "names": (lambda i: {"cls": f"{NAMES[i]}\n".encode()}, ["Dog", "cat", "eel"], [1, 0, 1, 2, 1, 0]),
    "json": (lambda i: {"json": json.dumps({"label": i % 3}).encode()}, ["0", "1", "2"], [0, 1, 2, 0, 1, 2]),
    "both": (lambda i: {"json": b'{"label": 7}', "cls": b"1"}, ["0", "1"], [1] * 6),
    "no label": (lambda i: {"json": b'{"caption": "a cat"}', "txt": b"a cat"}, [], None),
}


@pytest.mark.parametrize("kind", LABELED)
def test_labels_are_numbers_or_names(tmp_path, kind):
    label, classes, labels = LABELED[kind]
    source = open_source(write_shards(tmp_path, label=label))
    assert source.classes == classes
    assert labels == (None if source.labels is None else source.labels.tolist())


def test_a_part_without_labels_leaves_all_without(tmp_path, caplog):
    source = open_source(write_shards(tmp_path, label=lambda i: {"cls": b"1"} if i else {}))
    assert source.labels is None
    assert "1 of 6 images have no label" in caplog.text


def test_a_pattern_names_shards_in_order(tmp_path):
    write_shards(tmp_path, count=3)
    source = open_source(f"{tmp_path}/train-{{002..002}}.tar")
    assert [path.name for path in source.paths] == ["0006.jpg", "0007.jpg", "0008.jpg"]
    assert len(open_source(f"{tmp_path}/train-{{000..002}}.tar")) == 9
    source = open_source(f"{tmp_path}/{{train-001,train-000}}.tar")
    assert [path.name for path in source.paths][::3] == ["0003.jpg", "0000.jpg"]
    assert len(open_source([f"{tmp_path}/train-00{{0..1}}.tar", f"{tmp_path}/train-{{002..002}}.tar"])) == 9
    with pytest.raises(UsageError, match=r"train-003.tar: no such file or folder; did you mean .*train-00\d.tar"):
        open_source(f"{tmp_path}/train-{{000..003}}.tar")
    with pytest.raises(UsageError, match="names no shard; the first number comes before the last"):
        open_source(f"{tmp_path}/train-{{003..001}}.tar")
    with pytest.raises(UsageError, match="names more than 1000000 shards"):
        open_source(f"{tmp_path}/train-{{0..99999999999}}.tar")
    with pytest.raises(UsageError, match="images are given by another --data already|are given already"):
        open_source([f"{tmp_path}/train-{{000..001}}.tar", f"{tmp_path}/train-{{001..002}}.tar"])


def test_splits_are_folders_of_shards(tmp_path):
    write_shards(tmp_path / "data" / "train", count=2)
    write_shards(tmp_path / "data" / "val", count=1)
    assert (len(open_source(tmp_path / "data")), len(open_source(f"{tmp_path}/data:val"))) == (6, 3)


def test_a_damaged_image_is_named_by_its_shard(tmp_path):
    write_archive(tmp_path / "a" / "0.tar", {"x/1.jpg": jpeg(1)[:200], "x/2.jpg": jpeg(2)})
    source = open_source(tmp_path / "a", max_bad=0.5)
    with pytest.raises(UnreadableImage):
        source.image(0)
    source.bad.add(source.paths[0], "cut short")
    assert source.image(1).size == (40, 30)


def test_a_resumed_run_finds_its_images_where_the_shards_are_now(tmp_path):
    source = open_source(write_shards(tmp_path / "before"))
    inventory = take_inventory(source)
    assert inventory.names[4] == "train-001.tar/0004.jpg"
    assert inventory.sizes[4] == len(jpeg(4))
    (tmp_path / "before").rename(tmp_path / "now")
    found = inventory.find(open_source(tmp_path / "now"), limited=False)
    assert np.array_equal(found.image(4), source_image(4))
    assert found.labels.tolist() == source.labels.tolist()
    write_archive(tmp_path / "now" / "train-001.tar", {f"{i:04}.jpg": jpeg(i + 1) for i in range(3, 6)})
    with pytest.raises(UsageError, match="does not hold the images of the run: of its 6 .* of another size"):
        inventory.find(open_source(tmp_path / "now", labels=False), limited=False)
    (tmp_path / "now" / "train-001.tar").unlink()
    with pytest.raises(UsageError, match="3 are missing, the first train-001.tar/0003.jpg"):
        inventory.find(open_source(tmp_path / "now", labels=False), limited=False)


def source_image(number):
    return Image.open(io.BytesIO(jpeg(number)))


def test_another_process_reads_them_too(tmp_path):
    source = pickle.loads(pickle.dumps(open_source(write_shards(tmp_path))))
    assert np.array_equal(source.image(5), source_image(5))
    assert take_inventory(source).names[5] == "train-001.tar/0005.jpg"


def link(tar):
    header = tarfile.TarInfo("1.jpg")
    header.type, header.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tar.addfile(header)


def outside(tar):
    header = tarfile.TarInfo("../1.jpg")
    tar.addfile(header)


@pytest.mark.parametrize("member", [link, outside])
def test_a_member_that_is_no_file_of_the_shard_is_refused(tmp_path, member):
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        member(tar)
    with pytest.raises(UsageError, match=r"0.tar: refused, its member is unsafe: "):
        open_source(tmp_path)


REFUSED = {
    "two images": ({"1.jpg": jpeg(1), "1.png": b"x"}, "1.png: is the second image of its name, beside 1.jpg"),
    "no image": ({"1.txt": b"x"}, "none of its 1 shards holds an image"),
    "no text": ({"1.jpg": jpeg(1), "1.cls": b"\xff\xfe"}, "1.cls: cannot be read as a label"),
    "no json": ({"1.jpg": jpeg(1), "1.json": b"{"}, "1.json: cannot be read as a label"),
    "a book": ({"1.jpg": jpeg(1), "1.cls": b"x" * 2**21}, "1.cls: expected a label, got 2097152 bytes"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_sample_is_refused(tmp_path, kind):
    files, message = REFUSED[kind]
    write_archive(tmp_path / "0.tar", files)
    with pytest.raises(UsageError, match=message):
        open_source(tmp_path)


def test_a_shard_that_is_cut_short_or_compressed_is_refused(tmp_path):
    shard = write_archive(tmp_path / "0.tar", {"1.jpg": jpeg(1), "2.jpg": jpeg(2)})
    whole = shard.read_bytes()
    for content in (whole[:1800], whole[:600], b"x" * 2000):
        shard.write_bytes(content)
        with pytest.raises(UsageError, match=r"0.tar: is no uncompressed tar, or damaged at "):
            open_source(tmp_path)
    with tarfile.open(shard, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("1.jpg"))
    with pytest.raises(UsageError, match=r"0.tar: is no uncompressed tar, or damaged at its start"):
        open_source(tmp_path)
