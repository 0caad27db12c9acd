"""Small image folders, good and bad."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def make_image():
    """Gives a function that writes a smooth colored image, its mean color by a seed, its form by the suffix."""

    def make(path, *, size=(16, 16), seed=0):
        coarse = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).save(path)
        return path

    return make


@pytest.fixture
def make_folder(make_image, tmp_path):
    """Gives a function that makes a folder of `per_class` PNG files for each class."""

    def make(classes=("cat", "dog"), per_class=4, size=(16, 16), root=tmp_path / "images"):
        for c, name in enumerate(classes):
            for i in range(per_class):
                make_image(root / name / f"{i:03}.png", size=size, seed=c * per_class + i)
        return root

    return make
