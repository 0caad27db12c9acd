"""Annotated images in COCO's form: a JSON file of images, categories and annotations, and a folder of images."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from sslfast.data.annotations.checks import Annotation, BadObjects, objects_of
from sslfast.data.annotations.images import AnnotatedImages
from sslfast.data.annotations.objects import Polygon
from sslfast.data.annotations.runs import Runs, read_runs
from sslfast.data.sources.bad_files import BadFiles
from sslfast.errors import UsageError, printable

MOST_BYTES = 2**31  # of a JSON file; COCO's own have 0.5 * 10^9
PREFIX = "instances_"  # of COCO's files of boxes and outlines


def coco_file(root: Path, split: str) -> Path:
    """Names the file that holds the annotations of a split."""
    return root / "annotations" / f"{PREFIX}{split}.json"


def coco_splits(root: Path) -> list[str]:
    """Lists the splits that a folder of COCO's form has annotations of; none where it has another form."""
    return sorted(path.stem.removeprefix(PREFIX) for path in (root / "annotations").glob(f"{PREFIX}*.json"))


def open_coco(file: Path, name: str, bad: BadFiles, bad_objects: BadObjects) -> AnnotatedImages:
    """Reads a file of annotations. Classes are the categories in the order of their ids; crowds are `ignored`.

    The images lie in <split>/, images/<split>/ or images/ beside or above the file, or beside it.

    Raises:
        UsageError: the file is malformed, names an id that is not there, has one twice, or images are missing.
    """
    shown = printable(str(file))
    content = _load(file)
    categories = _by_id(content, "categories", shown)
    images = _by_id(content, "images", shown)
    number = {category: position for position, category in enumerate(sorted(categories))}
    classes = [_field(categories[i], "name", str, f"{shown}, category {i}") for i in sorted(categories)]
    of_image = defaultdict(list)
    for i, entry in _by_id(content, "annotations", shown).items():
        where = f"{shown}, annotation {i}"
        image, category = (_field(entry, key, int, where) for key in ("image_id", "category_id"))
        if image not in images:
            raise UsageError(f"{where}: there is no image {image}; remove it, or add the image")
        if category not in categories:
            raise UsageError(f"{where}: there is no category {category}; remove it, or add the category")
        of_image[image].append(_annotation(entry, number[category], where))
    has_polygons = any(a.polygons is not None for annotations in of_image.values() for a in annotations)
    if box := next(
        (a for annotations in of_image.values() for a in annotations if has_polygons and a.polygons is None), None
    ):
        raise UsageError(f"{box.where}: has no segmentation, and others have; all or none are to have one")
    places = [(i, f"{shown}, image {i}") for i in sorted(images)]
    names = [_field(images[i], "file_name", str, where) for i, where in places]
    sizes = [
        (_field(images[i], "height", int, where), _field(images[i], "width", int, where)) for i, where in places
    ]
    bad.total += len(images)
    objects = [
        objects_of(of_image[i], size, bad_objects, has_polygons=has_polygons)
        for (i, _), size in zip(places, sizes, strict=True)
    ]
    return AnnotatedImages(name, classes, _found(file, names), objects, sizes, bad)


def _load(file: Path) -> dict[str, Any]:
    shown = printable(str(file))
    try:
        if file.stat().st_size > MOST_BYTES:
            raise UsageError(f"{shown}: is of more than {MOST_BYTES} bytes; divide it")
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{shown}: is not JSON, or damaged ({str(error)[:100]}); restore it") from error
    if not isinstance(content, dict):
        raise UsageError(
            f"{shown}: expected COCO's images, categories and annotations, got a {type(content).__name__}"
        )
    return content


def _by_id(content: dict[str, Any], key: str, shown: str) -> dict[int, dict[str, Any]]:
    """Returns the entries of a list by their ids."""
    entries = content.get(key)
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{shown}: expected COCO's form, with {key} in a list that is not empty")
    found: dict[int, dict[str, Any]] = {}
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UsageError(f"{shown}: {key}[{position}] is not an object of JSON")
        number = _field(entry, "id", int, f"{shown}, {key}[{position}]")
        if number in found:
            raise UsageError(f"{shown}: two {key} have the id {number}; remove one, or give it another")
        found[number] = entry
    return found


def _field(entry: dict[str, Any], key: str, kind: type[Any], where: str) -> Any:
    value = entry.get(key)
    if type(value) is not kind:
        raise UsageError(f"{where}: expected {key} as {kind.__name__}, got {printable(repr(value)[:40])}")
    return value


def _annotation(entry: dict[str, Any], label: int, where: str) -> Annotation:
    try:
        x, y, width, height = (float(side) for side in entry["bbox"])
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{where}: expected bbox as [x, y, width, height]") from error
    try:
        outlines = _outlines(entry.get("segmentation"))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{where}: segmentation is neither outlines of 3 points or more nor runs ({error})"
        ) from error
    runs = outlines if isinstance(outlines, Runs) else None
    polygons = [] if isinstance(outlines, Runs) else outlines
    ignored = entry.get("iscrowd", 0) == 1
    return Annotation(where, label, (x, y, x + width, y + height), ignored, polygons, runs)


def _outlines(segmentation: Any) -> list[Polygon] | Runs | None:
    """Reads the outlines or the runs of an annotation; None where it has neither."""
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        height, width = segmentation["size"]
        return read_runs(segmentation["counts"], height, width)
    polygons = [np.array(corners, dtype=np.float32).reshape(-1, 2) for corners in segmentation]
    if any(len(polygon) < 3 for polygon in polygons):
        raise ValueError("an outline of fewer points")
    return polygons


def _found(file: Path, names: list[str]) -> list[Path]:
    """Finds the images' files, in the first of the usual folders that has the first of them."""
    split = file.stem.removeprefix(PREFIX)
    above = file.parent.parent
    folders = [
        above / split,
        above / "images" / split,
        above / "images",
        file.parent / split,
        file.parent / "images",
        file.parent,
    ]
    for name in names:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise UsageError(
                f"{printable(str(file))}: file_name {printable(name)} leads out of the data set's folder"
            )
    folder = next((folder for folder in folders if (folder / names[0]).is_file()), None)
    if folder is None:
        raise UsageError(
            f"{printable(str(file))}: its first image, {printable(names[0])}, is in none of the folders "
            f"{', '.join(str(folder.relative_to(above)) for folder in folders)} of {above}; put the images there"
        )
    present = {
        os.path.relpath(os.path.join(place, name), folder) for place, _, files in os.walk(folder) for name in files
    }
    if missing := [name for name in names if os.path.normpath(name) not in present]:
        raise UsageError(
            f"{printable(str(file))}: {len(missing)} of its {len(names)} images are not in {folder}, the first is "
            f"{printable(missing[0])}; add them, or remove their entries"
        )
    return [folder / name for name in names]
