"""The file of a run's directory that holds the inventory of its images: JSON, compressed by gzip."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from pathlib import Path

from sslfast.data.inventory import ArrayInventory, FileInventory, Inventory
from sslfast.errors import TrainingError, UsageError
from sslfast.run.atomic import atomic_write

VERSION = 1
KINDS = {"array": ArrayInventory, "files": FileInventory}


def write_inventory(path: Path, inventory: Inventory) -> None:
    """Writes an inventory, whole or not at all.

    Raises:
        TrainingError: it cannot be written, for example as the disk is full.
    """
    kind = next(name for name, inventory_kind in KINDS.items() if isinstance(inventory, inventory_kind))
    content = json.dumps({"version": VERSION, "kind": kind, **asdict(inventory)})
    try:
        with atomic_write(path) as file:
            file.write(gzip.compress(content.encode(), compresslevel=1, mtime=0))
    except OSError as error:
        raise TrainingError(f"{path}: cannot write the list of images ({error.strerror}); make room") from error


def read_inventory(path: Path) -> Inventory | None:
    """Reads what `write_inventory` wrote; None where there is no file.

    Raises:
        UsageError: it is damaged, or of a newer version.
    """
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
        version, kind = content.pop("version"), content.pop("kind")
        if version == VERSION:
            return _checked(KINDS[kind](**content))
    except FileNotFoundError:
        return None
    except Exception as error:  # damaged bytes raise nearly anything
        raise UsageError(
            f"{path}: not a list of images, or damaged; restore it, or remove it to resume without a check of the "
            "images"
        ) from error
    raise UsageError(
        f"{path}: a list of images of version {version}, and this sslfast reads version {VERSION}: "
        "resume with the sslfast that wrote it"
    )


def _checked(inventory: Inventory) -> Inventory:
    """Returns the inventory, if its fields are what they are to be. Raises ValueError otherwise."""
    if isinstance(inventory, ArrayInventory):
        whole = isinstance(inventory.count, int) and isinstance(inventory.sha256, str)
    else:
        count, labels = len(inventory.names), inventory.labels
        texts = [inventory.source, *inventory.names, *inventory.classes, *inventory.left_out]
        numbers = [inventory.num_roots, *inventory.sizes, *(labels or [])]
        whole = (
            isinstance(inventory.names, list)
            and set(map(type, texts)) <= {str}
            and set(map(type, numbers)) <= {int}
            and len(inventory.sizes) == count
            and (inventory.num_roots == 1 or all(_root(name) < inventory.num_roots for name in inventory.names))
            and (labels is None or (len(labels) == count and set(labels) <= set(range(len(inventory.classes)))))
        )
    if not whole:
        raise ValueError("fields of other types or lengths")
    return inventory


def _root(name: str) -> int:
    """Reads the number of the root that leads a file's name. Raises ValueError where none does."""
    return int(name[: name.index("/")])
