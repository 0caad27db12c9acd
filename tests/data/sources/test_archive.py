"""Archives: extracted once, completely or not at all, never outside their folder."""

import gzip
import multiprocessing
import os
import shutil
import signal
import tarfile

import pytest

from sslfast.config import DataConfig
from sslfast.data import open_data, open_source
from sslfast.data.sources import archive
from sslfast.data.sources.tar import unpack
from sslfast.errors import UsageError
from tests.data.sources.archives import archive_of, member


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sslfast"


@pytest.fixture
def make_archive(make_folder, tmp_path):
    def make(name="set.tar", inside="train"):
        path = tmp_path / name
        mode = "w:" + {"tar": "", "tgz": "gz"}.get(name.split(".")[-1], name.split(".")[-1])
        with tarfile.open(path, mode) as tar:
            tar.add(make_folder(), inside)
        return path

    return make


@pytest.mark.parametrize("name", ["set.tar", "set.tar.xz", "set.tar.gz", "set.tgz", "set.tar.bz2"])
def test_an_archive_is_its_folder(make_archive, name):
    source = open_source(str(make_archive(name)))
    assert source.classes == ["cat", "dog"]
    assert len(source) == 8
    assert source.image(7).size == (16, 16)


def test_extracted_once_and_again_when_changed(make_archive, cache):
    path = make_archive()
    first = open_source(str(path)).paths[0]
    marker = first.stat().st_ctime_ns
    assert open_source(str(path)).paths[0].stat().st_ctime_ns == marker
    assert len(list(cache.iterdir())) == 1
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[content.find(b"IDAT")] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert open_source(str(path)).paths[0] != first
    assert len(list(cache.iterdir())) == 2


def test_the_same_content_is_not_extracted_anew(make_archive, cache, tmp_path, monkeypatch):
    """Nor hashed, once it is known where it lies."""
    path = make_archive()
    first = open_source(str(path)).paths[0]
    os.utime(path, (1, 1))
    copy = shutil.copy(path, tmp_path / "copy.tar")
    monkeypatch.setattr(archive, "unpack", None)
    for same in (path, copy, copy):
        assert open_source(str(same)).paths[0] == first
    monkeypatch.setattr(archive.hashlib, "file_digest", None)
    for same in (path, copy):
        assert open_source(str(same)).paths[0] == first
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_has_lost_files_is_filled_again(make_archive, cache, caplog):
    path = str(make_archive())
    open_source(path).paths[0].unlink()
    assert len(open_source(path)) == 8
    assert "has lost some of its 8 files and is replaced" in caplog.text
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"size": 1}'])
def test_a_damaged_record_of_the_cache_costs_an_extraction(make_archive, cache, content):
    path = str(make_archive())
    open_source(path)
    (record,) = cache.glob("*/archive.json")
    record.write_text(content)
    assert len(open_source(path)) == 8
    assert len(list(cache.iterdir())) == 1


def test_two_processes_extract_it_once(make_archive, cache, tmp_path):
    """The second waits, then finds what the first extracted."""
    path = str(make_archive())

    def extract(name):
        def noted(*args):
            (tmp_path / name).touch()
            return unpack(*args)

        archive.unpack = noted
        open_source(path)

    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=extract, args=(name,)) for name in ("first", "second")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "first").exists() != (tmp_path / "second").exists()
    assert len(list(cache.iterdir())) == 1


def test_what_a_killed_extraction_left_goes_with_the_next(make_archive, cache):
    other, path = make_archive("other.tar"), make_archive()

    def stall(*args):
        unpack(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    def extract():
        archive.unpack = stall
        open_source(str(other))

    process = multiprocessing.get_context("fork").Process(target=extract)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert sorted(entry.name[:7] for entry in cache.iterdir()) == [".other-", ".other-"]
    open_source(str(path))
    assert [entry.name[:4] for entry in cache.iterdir()] == ["set-"]


def test_an_archive_that_changes_while_it_is_read(make_archive, cache, monkeypatch):
    """As one that is still being written does."""
    path = make_archive()

    def grow(*args):
        with path.open("ab") as file:
            file.write(bytes(512))
        return unpack(*args)

    monkeypatch.setattr(archive, "unpack", grow)
    with pytest.raises(UsageError, match="set.tar: changed while it was read"):
        open_source(str(path))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("name", ["set.tar", "set.tar.xz", "set.tar.gz"])
def test_a_truncated_archive_leaves_nothing(make_archive, cache, name):
    path = make_archive(name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(UsageError, match=f"{name}: truncated or corrupt"):
        open_source(str(path))
    assert list(cache.iterdir()) == []


def test_not_an_archive(tmp_path, cache):
    path = tmp_path / "fake.tar"
    path.write_text("not an archive, but long enough to be read as one" * 100)
    with pytest.raises(UsageError, match=r"fake.tar: truncated or corrupt") as refusal:
        open_source(str(path))
    assert len(str(refusal.value).splitlines()) == 1
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("folders", [[], ["train"]])
def test_an_archive_without_files_leaves_nothing(tmp_path, cache, folders):
    path = tmp_path / "empty.tar"
    with tarfile.open(path, "w") as tar:
        for folder in folders:
            tar.addfile(member(folder, type=tarfile.DIRTYPE))
    with pytest.raises(UsageError, match=r"empty.tar: holds no files"):
        open_source(str(path))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "attack",
    [
        member("/outside.png"),
        member("train/../../outside.png"),
        member("link.png", type=tarfile.SYMTYPE, linkname="../../outside.png"),
        member("link.png", type=tarfile.LNKTYPE, linkname="train/gone.png"),
        member("device.png", type=tarfile.CHRTYPE),
        member("train/good.png"),
    ],
    ids=lambda info: f"{info.name}->{info.linkname}",
)
def test_unsafe_members_are_refused_by_name(tmp_path, cache, attack):
    """tests/data/sources/test_tar.py has all of them."""
    path = tmp_path / "attack.tar"
    path.write_bytes(archive_of(member("train/good.png"), attack))
    with pytest.raises(UsageError, match=f"attack.tar: refused, its member is unsafe: .*{attack.name}"):
        open_source(str(path))
    assert list(cache.iterdir()) == []
    assert not list(tmp_path.rglob("outside.png"))


def test_a_flipped_bit_of_a_header_leaves_nothing(make_archive, cache):
    path = make_archive()
    content = bytearray(path.read_bytes())
    content[content.find(b"train/dog/001.png")] ^= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"set.tar: truncated or corrupt at train/dog.*: bad checksum; copy"):
        open_source(str(path))
    assert list(cache.iterdir()) == []


def test_what_is_unpacked_is_bounded_by_a_setting(tmp_path, cache, monkeypatch):
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(archive_of(member("a.png", size=2**23))))
    monkeypatch.setattr(archive, "LEAST_LIMIT", 2**20)
    with pytest.raises(UsageError, match=r"bomb.tar.gz: unpacks to more than 0.000977 GiB.*data.max_unpacked"):
        open_source(str(path))
    with pytest.raises(UsageError, match=r"unpacks to more than 0.007 GiB"):
        open_data(DataConfig(source=str(path), max_unpacked=0.007))
    assert list(cache.iterdir()) == []
    assert len(open_data(DataConfig(source=str(path), max_unpacked=0.01))) == 1


def test_names_are_shown_escaped(tmp_path, cache):
    path = tmp_path / "names.tar"
    path.write_bytes(archive_of(member("\x1b[2J\n/caf\udce9.png", type=tarfile.FIFOTYPE)))
    with pytest.raises(UsageError, match=r"unsafe: \\x1b\[2J\\n/caf\\udce9.png is a fifo"):
        open_source(str(path))


def test_a_cache_that_cannot_be_made(make_archive, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="set XDG_CACHE_HOME"):
        open_source(str(make_archive()))
