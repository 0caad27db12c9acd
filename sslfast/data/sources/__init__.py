"""The sources of images: a folder, an archive, a torchvision data set, the built-in `shapes`."""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from sslfast.config import DataConfig
from sslfast.config.paths import user_path
from sslfast.data.sources.archive import SUFFIXES
from sslfast.data.sources.bad_files import BadFiles, Policy
from sslfast.data.sources.base import Source
from sslfast.data.sources.classes import read_classes, with_classes
from sslfast.data.sources.folder import open_folder
from sslfast.data.sources.folder_splits import folder_splits
from sslfast.data.sources.form import Form
from sslfast.data.sources.hugging_face import is_hugging_face, open_hugging_face
from sslfast.data.sources.names import Names, folder_of, listed, parse, place, split_folder
from sslfast.data.sources.parquet import is_parquet, open_parquet
from sslfast.data.sources.shapes import open_shapes
from sslfast.data.sources.shards import is_pattern, open_shards, shards_in, shards_of
from sslfast.data.sources.subset import balanced_subset
from sslfast.data.sources.torchvision_sets import SETS, is_torchvision, open_torchvision
from sslfast.data.sources.united import united
from sslfast.data.sources.val_annotations import is_annotated, open_annotated
from sslfast.data.sources.values import in_form
from sslfast.errors import UsageError
from sslfast.given import find_given, is_given

__all__ = ["Source", "open_data", "open_source"]


def open_data(data: DataConfig) -> Source:
    """Opens the images of a recipe, by what its `data` section says of them.

    Raises:
        UsageError: as `open_source`, and as `in_form`.
    """
    source = open_source(
        data.source,
        labels=data.labels,
        classes=read_classes(data.classes),
        limit=data.limit,
        max_bad=data.max_bad,
        on_error=data.on_error,
        max_unpacked=data.max_unpacked,
    )
    return in_form(source, Form.of(data))


def open_source(
    names: Names,
    *,
    labels: bool = True,
    classes: Sequence[str] | None = None,
    allow_missing: bool = False,
    limit: int | None = None,
    max_bad: float = 0.01,
    on_error: Policy = "skip",
    max_unpacked: float | None = None,
) -> Source:
    """Opens a source by a name or path that the user typed, or several as one. An existing path wins over a name.

    Args:
        names: a folder of images (class subfolders optional), a .tar of one (compressed or not), a folder of
            WebDataset shards, a Parquet file or a folder of these, the name of a torchvision data set (CIFAR10),
            each folder, archive and data set also with a split (CIFAR10:test, photographs:val) in place of the
            training split; a pattern of shards (train-{000..099}.tar), hf:<name>[:<split>] or `shapes`; or a list
            of these, whose images follow each other.
        labels: whether to take the images' labels.
        classes: keep the images of these classes, which are numbered in this order; None: all.
        allow_missing: whether some of `classes` may be missing.
        limit: keep so many images, balanced over the classes; the same ones every time.
        max_bad: share of the images that may be unreadable.
        on_error: "skip" unreadable files, or "stop" at the first.
        max_unpacked: GiB that an archive may unpack to; None: 20 times its size, and at least 1.

    Raises:
        UsageError: there is no such path, name or split, it holds no usable images, or not of all `classes`; of
            several sources, one is named twice, or they are of different kinds, see `united`.
    """
    names = listed(names)
    _check_different(names, max_unpacked)
    sources = [_open(name, max_unpacked) for name in names]
    if not labels and classes is None:
        sources = [_unlabeled(source) for source in sources]
    source = sources[0] if len(sources) == 1 else united(sources)
    if classes is not None:
        source = with_classes(source, classes, allow_missing=allow_missing)
    if not labels:
        source = _unlabeled(source)
    if limit is not None and limit < len(source):
        source = source.subset(balanced_subset(source.labels, len(source), limit))
    source.bad = BadFiles(source.name, len(source), max_bad, on_error)
    return source


def _check_different(names: list[str], max_unpacked: float | None) -> None:
    """Refuses one source by two names."""
    name_at: dict[str, str] = {}
    for name in names if len(names) > 1 else []:
        where = place(name, max_unpacked)
        if where in name_at:
            raise UsageError(f"{name}: the images of {name_at[where]}, which are given already; name each once")
        name_at[where] = name


def _open(name: str, max_unpacked: float | None) -> Source:
    path, split = parse(name)
    if path is None:
        if is_given(name):
            return _given(name)
        if is_hugging_face(name):
            return open_hugging_face(name)
        if is_pattern(name):
            return open_shards(shards_of(name), name)
        if name == "shapes":
            return open_shapes()
        if is_torchvision(name):
            return open_torchvision(name)
        raise UsageError(_not_found(name, user_path(name), [*SETS, "shapes"]))
    if path.is_file() and is_parquet(path):
        return open_parquet(path, name)
    folder = folder_of(path, name, max_unpacked)
    if split is None and (splits := folder_splits(folder)) and splits.train:
        name, split = f"{name}:{splits.train}", splits.train
    if split is not None:
        folder = split_folder(folder, name, split)
    if is_parquet(folder):
        return open_parquet(folder, name)
    if shards := shards_in(folder):
        return open_shards(shards, name)
    return open_annotated(folder, name) if is_annotated(folder) else open_folder(folder, name)


def _given(name: str) -> Source:
    source = find_given(name)
    if source is None:
        raise UsageError(f"{name}: are images that were given from Python; give them again, as data=")
    return copy.copy(source)


def _unlabeled(source: Source) -> Source:
    source = copy.copy(source)
    source.labels, source.classes = None, []
    return source


def _not_found(name: str, path: Path, names: list[str]) -> str:
    """Returns the message for a name that is neither a path nor a data set, with the nearest of both."""
    looks_like_path = os.sep in name or path.suffix in SUFFIXES
    try:
        siblings = [str(path.parent / entry) for entry in os.listdir(path.parent)]
    except OSError:  # there is no such folder, or it is another user's
        siblings = []
    by_lower_case = {n.lower(): n for n in (siblings if looks_like_path else [*names, *siblings])}
    close = difflib.get_close_matches(str(path).lower(), by_lower_case, n=3)
    hint = f"; did you mean {' or '.join(by_lower_case[c] for c in close)}?" if close else ""
    if looks_like_path:
        return f"{name}: no such file or folder{hint}"
    return f"{name}: no such file or folder, nor a data set (shapes or one of torchvision's){hint}"
