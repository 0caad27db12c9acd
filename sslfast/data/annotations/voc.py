"""Annotated images in the form of Pascal VOC: JPEGImages, Annotations in XML, ImageSets/Main/<split>.txt."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from sslfast.data.annotations.checks import Annotation, BadObjects, objects_of
from sslfast.data.annotations.files import choose_split, images_by_stem, read_lines
from sslfast.data.annotations.images import AnnotatedImages, header_of
from sslfast.data.annotations.objects import Objects
from sslfast.data.sources.bad_files import BadFiles
from sslfast.data.sources.images import UnreadableImage
from sslfast.errors import UsageError, printable
from sslfast.progress import tqdm

MOST_BYTES = 2**24  # of an annotation


class _Object(NamedTuple):
    where: str
    name: str
    box: tuple[float, float, float, float]
    difficult: bool


def voc_folders(root: Path) -> list[Path]:
    """Finds the folders of VOC's form that a folder is or holds, such as VOCdevkit's VOC2007 and VOC2012."""
    folders = [root, *sorted(entry for entry in root.iterdir() if entry.is_dir())]
    found = [
        folder for folder in folders if (folder / "Annotations").is_dir() and (folder / "JPEGImages").is_dir()
    ]
    return found[:1] if found[:1] == [root] else found


def open_voc(
    folder: Path, split: str | None, name: str, bad: BadFiles, bad_objects: BadObjects
) -> AnnotatedImages:
    """Reads the annotations of all images of a split.

    VOC counts pixels from 1 and a box holds its last one: x1 and y1 are one less than in the file. Objects that
    are marked as difficult are `ignored`.

    Raises:
        UsageError: no such split, or a file that is missing or malformed.
    """
    listed = _listed(folder, split, name)
    stated = [_read(file) for file, _ in tqdm(listed, desc="annotations", leave=False, disable=None)]
    classes = sorted({found.name for _, objects in stated for found in objects})
    number = {class_name: position for position, class_name in enumerate(classes)}
    bad.total += len(listed)
    paths: list[Path] = []
    sizes: list[tuple[int, int]] = []
    every: list[Objects] = []
    for (_, image), (stated_size, objects) in zip(listed, stated, strict=True):
        try:
            size = stated_size or header_of(image)[:2]
        except UnreadableImage as error:
            bad.add(image, error)
            continue
        annotations = [Annotation(o.where, number[o.name], o.box, o.difficult) for o in objects]
        every.append(objects_of(annotations, size, bad_objects, has_polygons=False))
        paths.append(image)
        sizes.append(size)
    return AnnotatedImages(name, classes, paths, every, sizes, bad)


def _listed(folder: Path, split: str | None, name: str) -> list[tuple[Path, Path]]:
    """Finds the annotations and the image of each entry of a split; of a folder without ImageSets, all."""
    images = images_by_stem(folder / "JPEGImages")
    lists = folder / "ImageSets" / "Main"
    if not lists.is_dir() and split is None:
        stems = sorted(path.stem for path in (folder / "Annotations").glob("*.xml"))
    else:
        splits = sorted(path.stem for path in lists.glob("*.txt") if "_" not in path.stem)
        stems = [
            line for line in read_lines(lists / f"{choose_split(name, split, splits, str(folder))}.txt") if line
        ]
    if twice := next(
        (stem for stem, after in zip(sorted(stems), sorted(stems)[1:], strict=False) if stem == after), None
    ):
        raise UsageError(f"{name}: its split {split} lists {printable(twice)} twice; remove one of the lines")
    if missing := [stem for stem in stems if stem not in images]:
        raise UsageError(
            f"{name}: {len(missing)} of its {len(stems)} images are not in {folder / 'JPEGImages'}, the first is "
            f"{printable(missing[0])}; add them, or remove their lines"
        )
    pairs = [(folder / "Annotations" / f"{stem}.xml", images[stem]) for stem in stems]
    if unannotated := [file for file, _ in pairs if not file.is_file()]:
        raise UsageError(
            f"{name}: {len(unannotated)} of its {len(pairs)} images have no annotations, the first lacks "
            f"{printable(str(unannotated[0]))}; add them, or leave the images out of the split"
        )
    if not pairs:
        raise UsageError(f"{name}: {folder} lists no images")
    return pairs


def _read(path: Path) -> tuple[tuple[int, int] | None, list[_Object]]:
    """Reads height and width, None where they are not stated, and the objects of one file."""
    root = _parse(path)
    objects = []
    for position, element in enumerate(root.iterfind("object"), 1):
        where = f"{printable(str(path))}, object {position}"
        name = (element.findtext("name") or "").strip()
        if not name:
            raise UsageError(f"{where}: has no name; give it its class")
        try:
            x1, y1, x2, y2 = (
                float(element.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError as error:
            raise UsageError(f"{where}, {name}: has no bndbox of xmin, ymin, xmax, ymax; add it") from error
        difficult = (element.findtext("difficult") or "0").strip() == "1"
        objects.append(_Object(f"{where}, {name}", name, (x1 - 1, y1 - 1, x2, y2), difficult))
    try:
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except ValueError as error:
        raise UsageError(f"{printable(str(path))}: expected whole numbers as height and width of size") from error
    return (height, width) if height > 0 and width > 0 else None, objects


def _parse(path: Path) -> ElementTree.Element:
    """Reads an XML file's tree. One that declares a document type is refused: entities can grow without bound."""
    shown = printable(str(path))

    def refuse(*_: object) -> None:
        raise UsageError(f"{shown}: declares a document type, which annotations do not need; remove it")

    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UsageError(f"{shown}: is of more than {MOST_BYTES} bytes, which is no image's annotation")
        parser.Parse(content, True)
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read: {error.strerror}") from error
    except expat.ExpatError as error:
        raise UsageError(f"{shown}: is not XML ({error}); restore it") from error
    return builder.close()
