"""The drawn figures of the annotated images, with masks in files."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.data.annotations.drawn import CLASSES, HEIGHT, WIDTH, Drawn

WITH_BACKGROUND = ["background", *CLASSES]


def mask_of(drawn: Drawn) -> np.ndarray:
    """Draws the classes of an image's pixels, the background first: uint8 (H, W)."""
    mask = Image.new("L", (WIDTH, HEIGHT))
    for label, outline in drawn.objects:
        ImageDraw.Draw(mask).polygon([tuple(point) for point in outline], fill=label + 1)
    return np.array(mask)


def write_folders(root: Path, drawn: list[Drawn], split: str = "") -> Path:
    """Writes classes.txt, and [<split>/]images and masks."""
    for folder in ("images", "masks"):
        (root / split / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(WITH_BACKGROUND) + "\n")
    for number, one in enumerate(drawn):
        one.image.save(root / split / "images" / f"{number:03d}.png")
        Image.fromarray(mask_of(one)).save(root / split / "masks" / f"{number:03d}.png")
    return root


def write_voc(root: Path, drawn: list[Drawn], split: str = "train", masks: str = "SegmentationClass") -> Path:
    """Writes JPEGImages, palette masks in one of the two folders, and the list of a split."""
    lists = root / "ImageSets" / "Segmentation"
    for folder in (root / "JPEGImages", root / masks, lists):
        folder.mkdir(parents=True, exist_ok=True)
    names = [f"{split}_{number:03d}" for number in range(len(drawn))]
    for name, one in zip(names, drawn, strict=True):
        one.image.save(root / "JPEGImages" / f"{name}.jpg", quality=100, subsampling=0)
        palette = Image.fromarray(mask_of(one)).convert("P")
        palette.putdata(mask_of(one).ravel().tolist())
        palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        palette.save(root / masks / f"{name}.png")
    (lists / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root
