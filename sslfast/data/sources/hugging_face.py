"""Data sets of Hugging Face by their names: hf:mnist, hf:zh-plus/tiny-imagenet:valid.

The package `datasets` downloads them into its own cache; their images are packed once into a shard in ours.
"""

from __future__ import annotations

import json
from pathlib import Path

from sslfast.data.sources.base import Source
from sslfast.data.sources.packed import packed
from sslfast.data.sources.parquet import find_columns, rows_of
from sslfast.data.sources.shards import open_shards
from sslfast.data.sources.splits import Splits, check_split
from sslfast.errors import UsageError
from sslfast.extras import require

PREFIX, TRAIN = "hf:", "train"
ROWS = 64  # read at a time


def is_hugging_face(name: str) -> bool:
    """Tells whether a name is that of a data set of Hugging Face."""
    return name.startswith(PREFIX)


def open_hugging_face(name: str) -> Source:
    """Opens the images of a split of a data set, by default `train`, in their order.

    Raises:
        UsageError: the package is not installed; there is no such data set or split, or no network and it is not
            in the cache of the package; its columns are none of images, as for Parquet.
    """
    require("huggingface", name)
    import datasets

    data_set, _, split = name.removeprefix(PREFIX).partition(":")
    split = split or TRAIN
    try:
        splits = datasets.load_dataset(data_set)
    except Exception as error:  # of the package, of its network, of what the data set holds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{name}: cannot be loaded ({reason}); check the name, and that there is a network the first time"
        ) from error
    others = tuple(other for other in splits if other != TRAIN)
    check_split(name, f"{PREFIX}{data_set}", split, Splits(TRAIN if TRAIN in splits else None, None, others))
    rows = splits[split]
    columns = find_columns(name, rows.features.arrow_schema)
    files = [[file["filename"], Path(file["filename"]).stat().st_mtime_ns] for file in rows.cache_files]
    batches = rows.with_format("arrow").iter(ROWS)
    content = json.dumps([name, len(rows), files, columns])
    return open_shards([packed(name, content, rows_of(name, batches, columns, in_files=True), len(rows))], name)
