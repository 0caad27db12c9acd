"""Archives: extracted once, completely or not at all, never outside their folder."""

import io
import os
import tarfile

import pytest

from sslfast.data import open_source
from sslfast.errors import UsageError


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
    archive = str(make_archive())
    first = open_source(archive).paths[0]
    marker = first.stat().st_mtime_ns
    assert open_source(archive).paths[0].stat().st_mtime_ns == marker
    assert len(list(cache.iterdir())) == 1
    os.utime(archive, (1, 1))
    assert open_source(archive).paths[0] != first


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


def member(name, **attributes):
    info = tarfile.TarInfo(name)
    info.size = 1 if attributes.get("type", tarfile.REGTYPE) == tarfile.REGTYPE else 0
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def test_a_hard_link_to_what_is_not_there(tmp_path, cache):
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(member("train/link.png", type=tarfile.LNKTYPE, linkname="train/gone.png"))
    with pytest.raises(UsageError, match=r"links.tar: truncated or corrupt at train/link.png .*gone.png"):
        open_source(str(path))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "attack",
    [
        member("/outside.png"),
        member("../outside.png"),
        member("train/../../outside.png"),
        member("link.png", type=tarfile.SYMTYPE, linkname="../../outside.png"),
        member("link.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("link.png", type=tarfile.LNKTYPE, linkname="../outside.png"),
        member("device.png", type=tarfile.CHRTYPE),
    ],
    ids=lambda info: f"{info.name}->{info.linkname}",
)
def test_unsafe_members_are_refused_by_name(tmp_path, cache, attack):
    path = tmp_path / "attack.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(member("train/good.png"), io.BytesIO(b"x"))
        tar.addfile(attack, io.BytesIO(b"x"))
    with pytest.raises(UsageError, match=f"refused, its member is unsafe: .*{attack.name}"):
        open_source(str(path))
    assert list(cache.iterdir()) == []
    assert not list(tmp_path.rglob("outside.png"))


def test_a_cache_that_cannot_be_made(make_archive, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="set XDG_CACHE_HOME"):
        open_source(str(make_archive()))
