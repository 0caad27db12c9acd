"""A tar archive of images, extracted once into the cache."""

from __future__ import annotations

import hashlib
import lzma
import tarfile
import tempfile
import zlib
from pathlib import Path

from tqdm import tqdm

from sslfast.data.sources.cache import cache_folder
from sslfast.errors import UsageError

SUFFIXES = (".tar", ".tar.xz", ".txz", ".tar.gz", ".tgz", ".tar.bz2")


def extracted(archive: Path) -> Path:
    """Extract an archive unless the cache has it, and return the folder.

    The folder's name carries a hash of the archive's path, size and time of change. It appears under that name
    only when it is complete: two processes, or one that is killed, leave no half of it.

    Raises:
        UsageError: the archive is corrupt or holds no files, or a member would land outside the folder (an
            absolute path, `..`, a link that leads out) or is a device: the whole archive is refused.
    """
    status = archive.stat()
    identity = f"{archive.resolve()}:{status.st_size}:{status.st_mtime_ns}"
    stem = archive.name.partition(".")[0]
    folder = cache_folder() / f"{stem}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{stem}-") as temporary:
        partial = Path(temporary, stem)
        _extract(archive, partial, status.st_size)
        if not any(path.is_file() for path in partial.rglob("*")):
            raise UsageError(f"{archive}: holds no files, expected images or one folder of images a class")
        try:
            partial.rename(folder)
        except OSError:  # another process has just finished the same
            if not folder.is_dir():
                raise
    return folder


def _extract(archive: Path, folder: Path, size: int) -> None:
    member = None
    bar = tqdm(total=size, desc=f"extracting {archive.name}", unit="B", unit_scale=True, disable=None)
    try:
        with archive.open("rb") as file, bar, tarfile.open(fileobj=file, mode="r:*") as tar:
            for member in tar:
                tar.extract(member, folder, filter=_safe)
                bar.update(file.tell() - bar.n)
    except tarfile.FilterError as error:
        raise UsageError(f"{archive}: refused, its member is unsafe: {error}") from error
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, KeyError) as error:
        where = f" at {member.name}" if member else ""
        reason = " ".join(str(error).split())  # tarfile tells each compression that it has tried in a line
        raise UsageError(
            f"{archive}: truncated or corrupt{where} ({reason}); copy or download it again"
        ) from error
    except OSError as error:
        raise UsageError(f"{archive}: cannot be extracted to {folder.parent.parent} ({error})") from error


def _safe(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Filter a member as tarfile's `data` filter, but refuse an absolute path, which that makes relative."""
    if member.name.startswith("/"):
        raise tarfile.AbsolutePathError(member)
    return tarfile.data_filter(member, folder)
