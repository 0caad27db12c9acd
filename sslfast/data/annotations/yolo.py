"""Annotated images in YOLO's form: images/, and in labels/ a text file of the same name with a line an object."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from sslfast.config.plain_yaml import read_yaml
from sslfast.data.annotations.checks import Annotation, BadObjects, objects_of
from sslfast.data.annotations.files import choose_split, images_by_stem, read_lines
from sslfast.data.annotations.images import AnnotatedImages, header_of
from sslfast.data.sources.bad_files import BadFiles
from sslfast.data.sources.images import UnreadableImage
from sslfast.errors import UsageError, printable
from sslfast.progress import tqdm

logger = logging.getLogger(__name__)

NAMES = ("data.yaml", "dataset.yaml", "classes.txt")  # that tell the classes' names, in the folder or above it


def open_yolo(root: Path, split: str | None, name: str, bad: BadFiles, bad_objects: BadObjects) -> AnnotatedImages:
    """Reads the labels of all images.

    A line is a class's number, then x and y of each corner of an outline, or x and y of a box's center, its width
    and its height, as shares of the upright image's width and height; all lines are of one kind. An image without
    a file, or with an empty one, shows no object. Classes are named by data.yaml or classes.txt, or by number.

    Raises:
        UsageError: no such split, no labels at all, or a malformed line.
    """
    splits = sorted(entry.name for entry in (root / "images").iterdir() if entry.is_dir())
    part = choose_split(name, split, splits, str(root)) if splits or split else ""
    images = images_by_stem(root / "images" / part)
    labels = root / "labels" / part
    bad.total += len(images)
    if not images:
        raise UsageError(f"{name}: {root / 'images' / part} holds no image")
    unlabeled = sum(not (labels / f"{stem}.txt").is_file() for stem in images)
    if unlabeled == len(images):
        raise UsageError(
            f"{name}: none of its {len(images)} images has annotations, {labels}/<name of the image>.txt"
        )
    if unlabeled:
        logger.info(
            "%s: %d of %d images have no file of labels: they show no object", name, unlabeled, len(images)
        )
    names = _names(root)
    paths: list[Path] = []
    sizes: list[tuple[int, int]] = []
    stated: list[list[Annotation]] = []
    for stem, path in tqdm(images.items(), desc="annotations", leave=False, disable=None):
        try:
            height, width = header_of(path)[:2]
        except UnreadableImage as error:
            bad.add(path, error)
            continue
        file = labels / f"{stem}.txt"
        lines = read_lines(file) if file.is_file() else []
        stated.append(
            [
                _read(f"{printable(str(file))}, line {number}", line, (height, width), names)
                for number, line in enumerate(lines, 1)
                if line
            ]
        )
        paths.append(path)
        sizes.append((height, width))
    annotations = [annotation for of_image in stated for annotation in of_image]
    has_polygons = any(annotation.polygons for annotation in annotations)
    if box := next((a for a in annotations if has_polygons and a.polygons is None), None):
        raise UsageError(f"{box.where}: is a box, and other lines are outlines; all are to be of one kind")
    if names is None:
        names = [str(number) for number in range(1 + max((a.label for a in annotations), default=-1))]
    objects = [
        objects_of(of_image, size, bad_objects, has_polygons=has_polygons)
        for of_image, size in zip(stated, sizes, strict=True)
    ]
    return AnnotatedImages(name, names, paths, objects, sizes, bad)


def _read(where: str, line: str, size: tuple[int, int], names: list[str] | None) -> Annotation:
    """Reads the object of a line, in pixels."""
    height, width = size
    number, *rest = line.split()
    try:
        label, shares = int(number), [float(share) for share in rest]
    except ValueError as error:
        raise UsageError(
            f"{where}: expected a class's number, then numbers, got {printable(line[:60])}"
        ) from error
    if label < 0 or label >= (2**15 if names is None else len(names)):
        classes = "" if names is None else f"; the data set names {len(names)} classes, from 0 to {len(names) - 1}"
        raise UsageError(f"{where}: there is no class {label}{classes}")
    if len(shares) == 4:
        x, y, w, h = shares
        box = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        return Annotation(where, label, box)
    if len(shares) < 6 or len(shares) % 2:
        raise UsageError(
            f"{where}: expected after the class 4 numbers of a box or pairs of numbers of 3 corners or more, got "
            f"{len(shares)}"
        )
    polygon = np.array(shares, dtype=np.float64).reshape(-1, 2) * (width, height)
    (x1, y1), (x2, y2) = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
    return Annotation(where, label, (x1, y1, x2, y2), polygons=[polygon.astype(np.float32)])


def _names(root: Path) -> list[str] | None:
    """Reads the classes' names; None where no file tells them."""
    found = [folder / name for folder in (root, root.parent) for name in NAMES if (folder / name).is_file()]
    if not found:
        return None
    file = found[0]
    if file.suffix == ".txt":
        return [line for line in read_lines(file) if line]
    try:
        content = read_yaml(file.read_text(encoding="utf-8"))
        names = content["names"]
        if isinstance(names, dict):
            names = [names[number] for number in range(len(names))]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{printable(str(file))}: expected YAML with the classes' names as `names`") from error
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        raise UsageError(
            f"{printable(str(file))}: expected a list of names as `names`, quoted where they are numbers"
        )
    return names
