"""Images in Parquet files, as Hugging Face's data sets have them: a column of images, and one of labels.

A row of Parquet cannot be read without the rows around it: the images are packed once into a shard in the cache.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from sslfast.data.sources.archive import Stamp
from sslfast.data.sources.base import Source
from sslfast.data.sources.classes import names_in_short
from sslfast.data.sources.packed import Row, packed
from sslfast.data.sources.shards import listing, open_shards
from sslfast.data.sources.split_folders import kind_of
from sslfast.errors import UsageError
from sslfast.extras import require

logger = logging.getLogger(__name__)

SUFFIX = ".parquet"
LABELS = ("label", "labels", "fine_label", "class")  # names of a column of labels, the first that is there
ROWS = 64  # read at a time


class Columns(NamedTuple):
    """The columns that are read, and the names of the classes; empty where labels are names or have none."""

    image: str
    label: str | None
    classes: list[str]


def is_parquet(path: Path) -> bool:
    """Tells whether a path is a Parquet file, or a folder of such files without subfolders."""
    return path.suffix == SUFFIX if path.is_file() else bool(listing(path, SUFFIX))


def open_parquet(path: Path, name: str) -> Source:
    """Opens the images of a Parquet file, or of those in a folder in the order of their names.

    The images are the column that is one by Hugging Face's description, else the only one of binary values, bare
    or as `bytes` of a struct. The labels are numbers or names, in the column that the description calls a
    ClassLabel, else in one named label, labels, fine_label or class.

    Raises:
        UsageError: pyarrow is not installed; the files are damaged, of several splits, or have no such column, or
            several; a row has no image.
    """
    require("data", name)
    files = [path] if path.is_file() else listing(path, SUFFIX)
    splits = {start for file in files if kind_of(start := file.name.partition("-")[0])}
    if len(splits) > 1:
        raise UsageError(
            f"{name}: holds the splits {', '.join(sorted(splits))}; name the files of one, each by a --data of "
            "its own, or move each split into a folder"
        )
    import pyarrow
    from pyarrow import parquet

    try:
        opened = [parquet.ParquetFile(file) for file in files]
        columns = find_columns(name, opened[0].schema_arrow)
        count = sum(file.metadata.num_rows for file in opened)
        read = [column for column in (columns.image, columns.label) if column is not None]
        batches = chain.from_iterable(file.iter_batches(ROWS, columns=read) for file in opened)
        content = json.dumps([[str(file.resolve()), vars(Stamp.of(file))] for file in files] + [columns])
        shard = packed(name, content, rows_of(name, batches, columns), count)
    except (pyarrow.ArrowException, KeyError) as error:
        raise UsageError(f"{name}: cannot be read as Parquet: {' '.join(str(error).split())}") from error
    return open_shards([shard], name)


def find_columns(name: str, schema: Any) -> Columns:
    """Finds the columns of images and of labels, by the description in a schema and by their types and names.

    Raises:
        UsageError: there is no column of images, or several.
    """

    features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    kinds = {column: feature.get("_type") for column, feature in features.items() if isinstance(feature, dict)}
    images = [column for column in schema.names if kinds.get(column) == "Image"]
    images = images or [field.name for field in schema if _holds_images(field.type)]
    if len(images) != 1:
        raise UsageError(
            f"{name}: expected one column of images, got {images} among {names_in_short(schema.names)}"
        )
    described = [column for column in schema.names if kinds.get(column) == "ClassLabel"]
    usual = [column for column in LABELS if column in schema.names and _holds_labels(schema.field(column).type)]
    labels = sorted(described, key=lambda column: column not in LABELS) or usual
    label = labels[0] if labels else None
    if len(labels) > 1:
        logger.warning("%s: its labels are those of the column %s, not of %s", name, label, ", ".join(labels[1:]))
    return Columns(images[0], label, features.get(label, {}).get("names", []) if label in features else [])


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _holds_labels(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind))


def rows_of(name: str, batches: Iterable[Any], columns: Columns, *, in_files: bool = False) -> Iterator[Row]:
    """Yields the rows of batches, of Arrow.

    Args:
        name: what the user calls them.
        batches: tables or record batches.
        columns: of theirs.
        in_files: whether an image may be given by the path of its file.

    Raises:
        UsageError: a row has no image.
    """
    number = 0
    for batch in batches:
        images = batch.column(columns.image).to_pylist()
        labels = batch.column(columns.label).to_pylist() if columns.label else [None] * len(images)
        for image, label in zip(images, labels, strict=True):
            content, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (image, None)
            if not content and in_files and path:
                content = Path(path).read_bytes()
            if not content:
                raise UsageError(f"{name}: row {number} has no image's bytes in its column {columns.image}")
            yield Row(content, _class_name(label, columns.classes))
            number += 1


def _class_name(label: int | str | None, classes: Sequence[str]) -> int | str | None:
    """Returns the name of a class by its number, where names are known; -1 is no class."""
    if label is None or label == -1:
        return None
    return classes[label] if classes and isinstance(label, int) else label
