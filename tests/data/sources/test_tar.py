"""Tar archives: what is refused for safety, and what is taken for damage; all else is written as it is."""

import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from sslfast.data.sources import tar
from sslfast.data.sources.tar import DamagedArchive, TooLarge, UnsafeMember, unpack
from tests.data.sources.archives import archive_of, member

MANY = 2**30
PNG = [member(f"train/{name}.png", size=700 + i) for i, name in enumerate("abcdef")]


def unpacked(archive, folder, limit=MANY):
    """Unpacks an archive; returns its files' sizes by their names."""
    folder.mkdir(exist_ok=True)
    count = unpack(io.BufferedReader(io.BytesIO(archive)), folder, limit)
    sizes = {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    assert len(sizes) == count
    return sizes


SIZES = {info.name: info.size for info in PNG}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_are_written_under_their_names(tmp_path, form):
    long = "x" * 120 + "/" + "y" * 120 + ".png"
    names = ["a.png", "./b.png", "d//e.png", "two words/c.png", "caf\udce9.png"]
    names += [] if form == tarfile.USTAR_FORMAT else [long]
    archive = archive_of(member("./", type=tarfile.DIRTYPE), *map(member, names), form=form)
    assert set(unpacked(archive, tmp_path / "out")) == {os.path.normpath(name) for name in names}


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (member("/outside.png"), "has an absolute path"),
        (member("../outside.png"), "leads out of its folder"),
        (member("train/../../outside.png"), "leads out of its folder"),
        (member("..", type=tarfile.DIRTYPE), "leads out of its folder"),
        (member("link.png", type=tarfile.SYMTYPE, linkname="a.png"), "is a symbolic link .*--dereference"),
        (member("link.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a symbolic link"),
        (member("link.png", type=tarfile.LNKTYPE, linkname="train/good.png"), "is a hard link .*--hard-deref"),
        (member("device.png", type=tarfile.CHRTYPE), "is a character device"),
        (member("device.png", type=tarfile.BLKTYPE), "is a block device"),
        (member("fifo.png", type=tarfile.FIFOTYPE), "is a fifo"),
        (member("odd.png", type=b"Z"), "is neither a plain file nor a folder"),
        (member("train\\cat\\1.png"), "has a backslash"),
        (member("a\0b.png", pax_headers={"path": "a\0b.png"}), "zero byte"),
        (member("x" * 256 + ".png"), "has a name of more than 255 bytes"),
        (member("."), "has no name"),
        (member("train/good.png"), "would replace another of its name"),
        (member("./train//good.png"), "would replace another of its name"),
        (member("train/good.png/a.png"), "would replace another of its name"),
        (member("train"), "would replace another of its name"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.name[:20]}->{value.linkname}",
)
def test_unsafe_members_are_refused(tmp_path, attack, reason):
    with pytest.raises(UnsafeMember, match=reason) as refusal:
        unpacked(archive_of(member("train/good.png"), attack), tmp_path / "out")
    assert len(str(refusal.value)) < 250
    assert not list(tmp_path.rglob("outside.png"))
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


def test_a_link_cannot_prepare_the_way_out(tmp_path):
    """As in CVE-2025-4517: tarfile resolves a path that is too long only in part, and follows the link."""
    deep = "/".join(["d" * 247] * 16)
    attack = [
        member(deep, type=tarfile.DIRTYPE),
        member(f"{deep}/up", type=tarfile.SYMTYPE, linkname="../" * 16),
        member("out", type=tarfile.SYMTYPE, linkname=f"{deep}/up/../../outside"),
        member("out/outside.png"),
    ]
    with pytest.raises(UnsafeMember, match="is a symbolic link"):
        unpacked(archive_of(*attack), tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_that_has_become_a_link_is_not_followed(tmp_path, monkeypatch):
    """By another process, say."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(Path, "mkdir", lambda self: self.symlink_to(tmp_path / "elsewhere"))
    os.mkdir(tmp_path / "out")
    with pytest.raises(UnsafeMember, match="leads out"):
        unpack(io.BufferedReader(io.BytesIO(archive_of(*PNG))), tmp_path / "out", MANY)
    assert not os.listdir(tmp_path / "elsewhere")


def test_two_spellings_that_a_file_system_takes_for_one(tmp_path, monkeypatch):
    """Cat and cat would be one class. Where they are two folders, they are two."""
    archive = archive_of(member("cat/1.png"), member("Cat/2.png"))
    assert set(unpacked(archive, tmp_path / "two")) == {"cat/1.png", "Cat/2.png"}
    make = Path.mkdir
    (tmp_path / "one").mkdir()
    monkeypatch.setattr(Path, "mkdir", lambda self: make(self.parent / self.name.lower()))
    with pytest.raises(UnsafeMember, match="Cat/2.png would replace another"):
        unpack(io.BufferedReader(io.BytesIO(archive)), tmp_path / "one", MANY)


def test_modes_and_owners_are_not_taken(tmp_path):
    unpacked(archive_of(member("a.png", mode=0o7777, uid=12345, mtime=1)), tmp_path / "out")
    status = (tmp_path / "out" / "a.png").stat()
    assert status.st_mode & 0o7111 == 0
    assert status.st_uid == os.getuid()


def test_sparse_files_are_refused(tmp_path):
    """Their size on the disk is not that in the archive."""
    sparse = member("a.png", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, size=512)
    with pytest.raises((UnsafeMember, DamagedArchive)):
        unpacked(archive_of(sparse), tmp_path / "out")


@pytest.mark.parametrize("cut", [0, 100, 512, 1024, 2000, 3 * 512 * 4])
def test_a_cut_archive(tmp_path, cut):
    with pytest.raises(DamagedArchive, match="cut short|empty file|truncated header|unexpected end of data"):
        unpacked(archive_of(*PNG)[:cut], tmp_path / "out")


def test_an_archive_that_ends_after_a_whole_member(tmp_path):
    """Both blocks of zeros belong to it, and their padding does not matter."""
    whole = archive_of(*PNG)
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for zeros in (0, 511, 512, 1023):
        with pytest.raises(DamagedArchive, match="cut short"):
            unpacked(whole[: end + zeros], tmp_path / f"{zeros}")
    assert unpacked(whole[: end + 1024], tmp_path / "out") == SIZES
    assert unpacked(whole + bytes(2**19), tmp_path / "padded") == SIZES


def test_every_flipped_bit_of_a_header_is_noticed(tmp_path):
    """But for one of the checksum's field that no reader looks at."""
    whole = archive_of(*PNG[:3])
    start = 512 + 1024  # of the second
    for bit in range(0, 512 * 8, 23):
        damaged = bytearray(whole)
        damaged[start + bit // 8] ^= 1 << bit % 8
        folder = tmp_path / str(bit)
        if bit // 8 == 155:
            assert len(unpacked(bytes(damaged), folder)) == 3
        else:
            with pytest.raises(DamagedArchive):
                unpacked(bytes(damaged), folder)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (b"x", "other bytes follow the end"),
        (archive_of(member("b.png")), "other bytes follow the end"),
        (bytes(2**21), "zeros follow the end, as an unfinished download has them"),
    ],
    ids=["garbage", "another archive", "zeros"],
)
def test_what_follows_the_end(tmp_path, rest, message):
    with pytest.raises(DamagedArchive, match=message):
        unpacked(archive_of(*PNG) + rest, tmp_path / "out")


@pytest.mark.parametrize("kind", [b"L", b"x", b"g"])
@pytest.mark.parametrize("size", [2**33, -512])
def test_sizes_that_no_header_has(tmp_path, kind, size):
    """Of a long name or of extended attributes, which tarfile reads whole: memory, or a loop without end."""
    info = member("a", type=kind, size=size)
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(DamagedArchive, match="claims to have|leads back|invalid header"):
        unpacked(header + bytes(2**16), tmp_path / "out")


def test_headers_that_lead_to_headers_without_end(tmp_path):
    name = member("././@LongLink", type=b"L", size=1)
    archive = (name.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 3000
    with pytest.raises(DamagedArchive, match="recursion"):
        unpacked(archive, tmp_path / "out")


def test_the_limit_counts_contents_headers_and_members(tmp_path):
    archive = archive_of(*PNG)
    for limit, message in ((4000, "more than 3.73e-06 GiB"), (6 * 4096, "GiB"), (len(archive), "GiB")):
        with pytest.raises(TooLarge, match=message):
            unpacked(archive, tmp_path / f"{limit}", limit)
    assert unpacked(archive, tmp_path / "out", len(archive) + 6 * 4096) == SIZES


def test_a_disk_without_room(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=tar.SPARE + 702)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(TooLarge, match="than the disk of .* has free"):
        unpacked(archive_of(*PNG), tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3
