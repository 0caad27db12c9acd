"""The decoding of small images into one array: their size, and their room."""

import numpy as np
import pytest
import torch

from sslfast.data import open_source
from sslfast.data.in_memory import in_memory
from sslfast.errors import UsageError

CPU = torch.device("cpu")


def test_images_of_several_sizes_are_kept_square(make_folder, make_image):
    root = make_folder(size=(24, 20))
    make_image(root / "dog" / "wide.png", size=(60, 30))
    make_image(root / "dog" / "tall.png", size=(10, 40))
    array, _ = in_memory(open_source(str(root)), CPU)
    assert array.images.shape == (10, 30, 30, 3)


def test_images_of_one_size_are_kept_exactly(make_folder):
    source = open_source(str(make_folder(size=(24, 20))))
    array, positions = in_memory(source, CPU)
    assert positions.tolist() == list(range(8))
    assert array.images.shape == (8, 20, 24, 3)
    assert all((array.images[i] == np.asarray(source.image(i))).all() for i in range(8))


def test_resident_must_fit(make_folder, monkeypatch):
    monkeypatch.setattr("sslfast.data.in_memory._room", lambda device: 8 * 16 * 16 * 3 - 1)
    source = open_source(str(make_folder()))
    with pytest.raises(UsageError, match="8 images of 16x16 take .* set data.pipeline=dali or data.limit"):
        in_memory(source, CPU)
