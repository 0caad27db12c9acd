"""The decoding of small images into one array: their size, and their room."""

import numpy as np
import pytest
import torch
from PIL import Image

from sslfast.data import open_source
from sslfast.data.in_memory import in_memory
from sslfast.errors import UsageError

CPU = torch.device("cpu")


def test_images_of_several_sizes_are_kept_exactly(make_folder, make_image):
    root = make_folder(size=(24, 20))
    make_image(root / "dog" / "wide.png", size=(60, 30))
    make_image(root / "dog" / "tall.png", size=(10, 40))
    source = open_source(str(root))
    array, _ = in_memory(source, CPU)
    assert array.images.shape == (10, 40, 60, 3)
    for part in (array, array.subset([9, 4, 8, 0])):
        assert part.sizes.max(0).tolist() == [40, 60]
    assert all((np.asarray(array.image(i)) == np.asarray(source.image(i))).all() for i in range(10))
    assert np.asarray(array.subset([9, 8]).image(1)).shape == np.asarray(array.image(8)).shape


@pytest.mark.parametrize("orientation", [6, 8])
def test_turned_images_keep_their_ends(tmp_path, orientation):
    picture = Image.new("RGB", (90, 60), "gray")
    picture.paste("red", (0, 0, 15, 60))
    picture.paste("blue", (75, 0, 90, 60))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number in range(4):
        picture.save(tmp_path / f"{number}.png", **({"exif": exif} if number % 2 else {}))
    array, _ = in_memory(open_source(str(tmp_path)), CPU)
    assert [array.image(number).size for number in range(4)] == [(90, 60), (60, 90)] * 2
    assert all(len(array.image(number).getcolors()) == 3 for number in range(4))


def test_a_larger_image_that_was_not_looked_at_is_shrunk_with_a_warning(
    make_folder, make_image, monkeypatch, caplog
):
    monkeypatch.setattr("sslfast.data.in_memory.PROBED", 1)
    root = make_folder(size=(24, 20))
    large = make_image(root / "dog" / "large.png", size=(96, 40))
    source = open_source(str(root))
    array, _ = in_memory(source, CPU)
    assert array.image(source.paths.index(large)).size == (24, 10)
    (record,) = caplog.records
    assert record.getMessage().endswith(
        "1 of 9 images are larger than 24x20, the largest of 1 that were looked at, and were shrunk to it; "
        "set data.pipeline=dali to keep their size"
    )


def test_images_of_one_size_are_kept_exactly(make_folder):
    source = open_source(str(make_folder(size=(24, 20))))
    array, positions = in_memory(source, CPU)
    assert positions.tolist() == list(range(8))
    assert array.images.shape == (8, 20, 24, 3)
    assert array.sizes is None
    assert all((array.images[i] == np.asarray(source.image(i))).all() for i in range(8))


def test_resident_must_fit(make_folder, monkeypatch):
    monkeypatch.setattr("sslfast.data.in_memory.room_of", lambda device: 8 * 16 * 16 * 3 - 1)
    source = open_source(str(make_folder()))
    with pytest.raises(UsageError, match="8 images of 16x16 take .* set data.pipeline=dali or data.limit"):
        in_memory(source, CPU)
