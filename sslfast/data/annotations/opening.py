"""Opening annotated images by the name that the user typed."""

from __future__ import annotations

from pathlib import Path

from sslfast.config.paths import existing_path, user_path
from sslfast.data.annotations.checks import BadObjects
from sslfast.data.annotations.coco import coco_file, coco_splits, open_coco
from sslfast.data.annotations.files import choose_split
from sslfast.data.annotations.images import AnnotatedImages
from sslfast.data.annotations.voc import open_voc, voc_folders
from sslfast.data.annotations.yolo import open_yolo
from sslfast.data.sources.archive import SUFFIXES, extracted
from sslfast.data.sources.bad_files import BadFiles, Policy
from sslfast.data.sources.subset import balanced_subset
from sslfast.errors import UsageError


def open_annotated(
    name_or_path: str,
    *,
    limit: int | None = None,
    max_bad: float = 0.01,
    on_error: Policy = "skip",
    max_unpacked: float | None = None,
) -> AnnotatedImages:
    """Opens annotated images by their folder or archive; the annotations are read, and no image is decoded.

    Objects whose box is empty, or that reach beyond their image by more than a pixel, or are there twice, are
    named in warnings and left out like unreadable images. All else that is wrong is refused.

    Args:
        name_or_path: a folder, or an archive of one, in the form of VOC (JPEGImages, Annotations, ImageSets; or a
            folder of several such, as VOCdevkit), COCO (annotations/instances_<split>.json and images) or YOLO
            (images, labels); or a JSON file of COCO's. `:<split>` names the split: VOCdevkit:trainval.
        limit: keep so many images, the same ones every time.
        max_bad: share of the images, and of the objects, that may be unusable.
        on_error: "skip" these, or "stop" at the first.
        max_unpacked: as for `open_source`.

    Raises:
        UsageError: there is no such path, form or split, or its files are missing or malformed.
    """
    path, split = _path_and_split(name_or_path)
    bad = BadFiles(name_or_path, 0, max_bad, on_error)
    bad_objects = BadObjects(name_or_path, max_bad, on_error)
    images = _open(path, split, name_or_path, max_unpacked, bad, bad_objects)
    bad_objects.check()
    if limit is not None and limit < len(images):
        images = images.subset(balanced_subset(None, len(images), limit))
        bad.total = limit
    return images


def _path_and_split(name: str) -> tuple[Path, str | None]:
    """The path of a name, and the split that follows its last colon; an existing path is one as it is."""
    if not name:
        raise UsageError("no data is named; give a folder of annotated images or an archive of one")
    base, colon, split = name.rpartition(":")
    if colon and base and not user_path(name).exists():
        return existing_path(base), split
    return existing_path(name), None


def _open(
    path: Path,
    split: str | None,
    name: str,
    max_unpacked: float | None,
    bad: BadFiles,
    bad_objects: BadObjects,
) -> AnnotatedImages:
    if path.is_file() and path.suffix.lower() == ".json":
        return open_coco(path, name, bad, bad_objects)
    if path.is_file() and path.name.lower().endswith(SUFFIXES):
        path = extracted(path, max_unpacked)
    if not path.is_dir():
        raise UsageError(f"{name}: expected a folder, an archive ({' '.join(SUFFIXES)}) or COCO's JSON")
    root = path
    while True:
        if folders := voc_folders(root):
            return open_voc(folders, split, name, bad, bad_objects)
        if splits := coco_splits(root):
            return open_coco(coco_file(root, choose_split(name, split, splits, str(root))), name, bad, bad_objects)
        if (root / "images").is_dir() and (root / "labels").is_dir():
            return open_yolo(root, split, name, bad, bad_objects)
        inner = [entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
        if len(inner) != 1:  # not a wrapper
            break
        root = inner[0]
    raise UsageError(
        f"{name}: expected annotated images in the form of VOC (JPEGImages, Annotations), COCO "
        "(annotations/instances_<split>.json) or YOLO (images, labels), and found none of these"
    )
