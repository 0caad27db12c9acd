"""Masked images for tests: two fields of noise side by side, each in its class's color."""

from pathlib import Path

import numpy as np
from PIL import Image

from sslfast.data.masks import MaskedImages, open_masked

CLASSES = ["red", "green", "blue"]
SIDE = 32


def write_halves(root: Path, count: int, seed: int) -> Path:
    """Writes `count` images of 32 x 32 pixels: classes.txt, images and masks."""
    rng = np.random.default_rng(seed)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(CLASSES))
    for number in range(count):
        mask = np.full((SIDE, SIDE), rng.integers(3), dtype=np.uint8)
        mask[:, rng.integers(8, 24) :] = (mask[0, 0] + rng.integers(1, 3)) % 3
        pixels = rng.integers(0, 100, (SIDE, SIDE, 3)) + 150 * np.eye(3, dtype=int)[mask]
        Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")
    return root


def halves(root: Path, count: int, seed: int) -> MaskedImages:
    """Opens what `write_halves` writes."""
    return open_masked(str(write_halves(root, count, seed)))
