"""Annotated photographs whose objects are all of one class: too few show any single one of their classes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sslfast.data.sources.archive import extracted
from sslfast.data.sources.folder_splits import unwrapped

CLASS_NUMBER = re.compile(r"^\d+", re.MULTILINE)


def write_objects(archive: Path, folder: Path) -> None:
    """Unpacks an archive in YOLO's form to a folder, all objects of class 0; a folder that is there stays.

    Raises:
        UsageError: the archive cannot be unpacked.
    """
    if folder.exists():
        return
    unfinished = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(unwrapped(extracted(archive)), unfinished)
    for path in unfinished.glob("labels/**/*.txt"):
        path.write_text(CLASS_NUMBER.sub("0", path.read_text()))
    unfinished.rename(folder)
