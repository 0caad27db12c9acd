"""A data set that is drawn: colored figures on a gray ground, in the forms of VOC, COCO and YOLO."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ["disk", "square"]
COLORS = [(200, 40, 40), (40, 60, 220)]
HEIGHT, WIDTH = 48, 64


class Drawn(NamedTuple):
    """An image and its objects.

    Attributes:
        image: RGB.
        objects: (class's position, outline (m, 2)) each.
    """

    image: Image.Image
    objects: list[tuple[int, np.ndarray]]


def draw(count: int, seed: int) -> list[Drawn]:
    """Draws images of one or two figures each, which do not touch."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        noise = rng.normal(128, 12, (HEIGHT, WIDTH, 3)).clip(0, 255).astype(np.uint8)
        image, objects = Image.fromarray(noise), []
        for half in range(rng.integers(1, 3)):
            label, radius = int(rng.integers(2)), rng.integers(8, 13)
            x, y = 32 * half + rng.integers(radius + 1, 32 - radius), rng.integers(radius, HEIGHT - radius)
            corners = 24 if label == 0 else 4
            angles = (np.arange(corners) + 0.5) * 2 * np.pi / corners
            reach = radius if label == 0 else radius * np.sqrt(2)
            outline = np.rint(np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1))
            ImageDraw.Draw(image).polygon([tuple(point) for point in outline], fill=COLORS[label])
            objects.append((label, outline))
        images.append(Drawn(image, objects))
    return images


def box_of(outline: np.ndarray) -> list[float]:
    """Computes the box x1 y1 x2 y2 around an outline."""
    return [*outline.min(axis=0).tolist(), *outline.max(axis=0).tolist()]


def write_yolo(root: Path, drawn: list[Drawn]) -> Path:
    """Writes images/, labels/ and data.yaml."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "data.yaml").write_text(f"names: {CLASSES}\n")
    for number, (image, objects) in enumerate(drawn):
        image.save(root / "images" / f"{number:03d}.png")
        lines = [
            f"{label} " + " ".join(f"{share:.8f}" for share in (outline / (WIDTH, HEIGHT)).reshape(-1))
            for label, outline in objects
        ]
        (root / "labels" / f"{number:03d}.txt").write_text("\n".join(lines))
    return root


def write_coco(root: Path, drawn: list[Drawn], split: str = "train2017") -> Path:
    """Writes annotations/instances_<split>.json and <split>/."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / split).mkdir()
    images, annotations = [], []
    for number, (image, objects) in enumerate(drawn):
        name = f"{number:03d}.png"
        image.save(root / split / name)
        images.append({"id": 100 + number, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for label, outline in objects:
            x1, y1, x2, y2 = box_of(outline)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 100 + number,
                    "category_id": 10 * (label + 1),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "segmentation": [outline.reshape(-1).tolist()],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": 10 * (number + 1), "name": name} for number, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


def write_voc(root: Path, drawn: list[Drawn], split: str = "trainval") -> Path:
    """Writes JPEGImages/, Annotations/ and ImageSets/Main/<split>.txt; boxes alone."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = []
    for number, (image, objects) in enumerate(drawn):
        names.append(f"{split}_{number:03d}")
        image.save(root / "JPEGImages" / f"{names[-1]}.png")
        parts = [f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"]
        for label, outline in objects:
            x1, y1, x2, y2 = box_of(outline)
            sides = f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
            parts.append(f"<object><name>{CLASSES[label]}</name><bndbox>{sides}</bndbox></object>")
        text = f"<annotation>{''.join(parts)}</annotation>"
        (root / "Annotations" / f"{names[-1]}.xml").write_text(text)
    (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root
