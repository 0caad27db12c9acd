"""Images for evaluations: three classes that any encoder tells apart."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("blue", "green", "red")


def write_images(folder: Path, classes: tuple[str, ...] = CLASSES, each: int = 20, seed: int = 0) -> str:
    """Writes noisy images, each class in its color."""
    generator = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = generator.integers(0, 40, (16, 16, 3), dtype=np.uint8)
            pixels[..., {"red": 0, "green": 1, "blue": 2}.get(name, 0)] += 200
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return str(folder)
