"""Images given from Python: every form that they may have, and what none of them is."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from sslfast.data import open_source
from sslfast.data.sources.given import named_data
from sslfast.errors import UsageError


class Items:
    """A data set of a list of items."""

    def __init__(self, items, classes=()):
        self.items, self.classes = items, classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def opened(data, **settings):
    with named_data(data) as name:
        return open_source(name, **settings)


GRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
COLOR = np.stack([GRAY, GRAY + 1, GRAY + 2], axis=-1)
BANDS = np.stack([GRAY, GRAY + 1, GRAY + 2, GRAY + 3], axis=-1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (COLOR, COLOR),
        (torch.from_numpy(COLOR), COLOR),
        (torch.from_numpy(COLOR).permute(0, 3, 1, 2), COLOR),
        (GRAY, GRAY[..., None]),
        (GRAY[..., None], GRAY[..., None]),
        (GRAY.astype(np.uint16), GRAY[..., None].astype(np.uint16)),
        (BANDS, BANDS),
        (torch.from_numpy(BANDS).permute(0, 3, 1, 2), BANDS),
        (Items([Image.fromarray(image) for image in GRAY]), GRAY[..., None]),
        (Items([Image.fromarray(image.astype(np.uint16)) for image in GRAY]), GRAY[..., None].astype(np.uint16)),
        (Items([GRAY[0], COLOR[1]]), np.stack([GRAY[0][..., None].repeat(3, -1), COLOR[1]])),
        (Items([Image.fromarray(image) for image in COLOR]), COLOR),
        (Items([Image.fromarray(image).convert("RGBA") for image in COLOR]), COLOR),
        (Items([*COLOR]), COLOR),
        (TensorDataset(torch.from_numpy(COLOR).permute(0, 3, 1, 2), torch.tensor([0, 1])), COLOR),
    ],
)
def test_images_of_every_form(data, expected):
    source = opened(data)
    np.testing.assert_array_equal(source.images, expected)
    assert source.images.dtype == expected.dtype
    pictures = np.stack([source.image(index) for index in range(2)])
    shown = np.broadcast_to(expected[..., :3], (2, 3, 4, 3))
    np.testing.assert_array_equal(pictures, shown if expected.dtype == np.uint8 else shown // 257)
    assert source.sizes is None
    assert source.name.startswith("python:")


def test_labels_and_classes():
    for data in ((COLOR, [1, 0]), (torch.from_numpy(COLOR), torch.tensor([1, 0]))):
        assert (opened(data).labels.tolist(), opened(data).classes) == ([1, 0], ["0", "1"])
    named = Items([(COLOR[0], 1), (COLOR[1], torch.tensor(0))], classes=["cat", "dog"])
    assert (opened(named).labels.tolist(), opened(named).classes) == ([1, 0], ["cat", "dog"])
    assert opened(named, labels=False).labels is None
    assert len(opened(named, classes=["dog"])) == 1
    assert opened(Items([(COLOR[0], None), (COLOR[1], -1)])).labels is None


def test_images_of_several_sizes_keep_them():
    source = opened(Items([COLOR[0], COLOR[1, :2, :1]]))
    assert source.sizes.tolist() == [[3, 4], [2, 1]]
    np.testing.assert_array_equal(source.image(1), COLOR[1, :2, :1])


def test_the_name_is_that_of_the_content():
    names = []
    for data in (COLOR, COLOR.copy(), COLOR + 1, (COLOR, [0, 0])):
        with named_data(data) as name:
            names.append(name)
    assert names[0] == names[1]
    assert len(set(names)) == 3
    with pytest.raises(UsageError, match=f"{names[0]}: are images that were given from Python; give them again"):
        open_source(names[0])


@pytest.mark.parametrize("names", ["shapes", ["a", "b"], None])
def test_names_are_names(names):
    with named_data(names) as name:
        assert name is names


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (COLOR / 255, "expected uint8 or uint16, got float64; leave out what scales and normalizes"),
        (Items([torch.zeros(3, 4, 4)]), "Items, item 0: expected uint8 or uint16, got torch.float32"),
        (
            np.zeros((2, 3, 4, 5, 3), np.uint8),
            r"expected \(N, H, W\) or \(N, H, W, C\), got \(2, 3, 4, 5, 3\)",
        ),
        (
            Items([np.zeros((2, 3, 4, 5), np.uint8)]),
            r"expected \(H, W\) or \(H, W, C\), got \(2, 3, 4, 5\)",
        ),
        (Items([COLOR[0], BANDS[0]]), r"Items, item 0: expected 4 channels, as others have, got \(3, 4, 3\)"),
        (
            Items([Image.fromarray(GRAY[0].astype(np.float32))]),
            "item 0: floating-point values have no known scale.*or give it as an array of uint16",
        ),
        (Items(["cat.png"]), "item 0: expected an image of PIL, an array or a tensor, got 'cat.png'"),
        (Items([]), "Items: holds no images"),
        ((COLOR, [0]), "expected a label for each of 2 images, got 1"),
        ((COLOR, [[0, 1], [1, 0]]), "expected the number of a class as each label"),
        (Items([(COLOR[0], 2)], classes=["cat"]), "has the label 2, and names 1 classes only"),
        (iter([]), "expected the name or the path of images, .* got a list_iterator"),
    ],
)
def test_what_is_no_images(data, message):
    with pytest.raises(UsageError, match=message):
        opened(data)


def test_an_item_that_cannot_be_had_is_named():
    class Broken(Items):
        def __getitem__(self, index):
            raise OSError("gone")

    with pytest.raises(UsageError, match="python:Broken: item 0 raises OSError: gone"):
        opened(Broken([0]))
