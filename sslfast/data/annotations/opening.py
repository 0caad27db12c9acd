"""Opening annotated images by the name that the user typed."""

from __future__ import annotations

from sslfast.config.paths import existing_path
from sslfast.data.annotations.checks import BadObjects
from sslfast.data.annotations.coco import coco_file, coco_splits, open_coco
from sslfast.data.annotations.files import choose_split
from sslfast.data.annotations.images import AnnotatedImages, united
from sslfast.data.annotations.voc import open_voc, voc_folders
from sslfast.data.annotations.yolo import open_yolo
from sslfast.data.sources.bad_files import BadFiles, Policy
from sslfast.data.sources.names import Names, folder_of, joined, listed, parse
from sslfast.data.sources.subset import balanced_subset
from sslfast.errors import UsageError


def open_annotated(
    names: Names,
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
        names: a folder, or an archive of one, in the form of VOC (JPEGImages, Annotations, ImageSets; or a
            folder of several such, as VOCdevkit), COCO (annotations/instances_<split>.json and images) or YOLO
            (images, labels); or a JSON file of COCO's. `:<split>` names the split: VOCdevkit:trainval.
            Several are taken together.
        limit: keep so many images, the same ones every time.
        max_bad: share of the images, and of the objects, that may be unusable.
        on_error: "skip" these, or "stop" at the first.
        max_unpacked: as for `open_source`.

    Raises:
        UsageError: there is no such path, form or split, its files are missing or malformed, or several do not
            go together.
    """
    name = joined(names)
    bad, bad_objects = BadFiles(name, 0, max_bad, on_error), BadObjects(name, max_bad, on_error)
    try:
        parts = [part for one in listed(names) for part in _open(one, max_unpacked, bad, bad_objects)]
    except OSError as error:
        raise UsageError(f"{name}: cannot read {error.filename}: {error.strerror}") from error
    bad_objects.check()
    images = united(parts, name)
    if limit is not None and limit < len(images):
        images = images.subset(balanced_subset(None, len(images), limit))
        bad.total = limit
    return images


def _open(name: str, max_unpacked: float | None, bad: BadFiles, bad_objects: BadObjects) -> list[AnnotatedImages]:
    """Opens the data sets that a name stands for, of which VOCdevkit holds several."""
    path, split = parse(name)
    if path is None:
        path = existing_path(name.rpartition(":")[0] or name)  # which tells what is near
    if path.is_file() and path.suffix.lower() == ".json":
        return [open_coco(path, name, bad, bad_objects)]
    root = folder_of(path, name, max_unpacked)
    while True:
        if folders := voc_folders(root):
            return [open_voc(folder, split, name, bad, bad_objects) for folder in folders]
        if splits := coco_splits(root):
            file = coco_file(root, choose_split(name, split, splits, str(root)))
            return [open_coco(file, name, bad, bad_objects)]
        if (root / "images").is_dir() and (root / "labels").is_dir():
            return [open_yolo(root, split, name, bad, bad_objects)]
        inner = [entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith((".", "__"))]
        if len(inner) != 1:  # not a wrapper
            break
        root = inner[0]
    raise UsageError(
        f"{name}: expected annotated images in the form of VOC (JPEGImages, Annotations), COCO "
        "(annotations/instances_<split>.json) or YOLO (images, labels), to segment also the folders images and "
        "masks, and found none of these"
    )
