"""torchvision's data sets, in the forms they come in; nothing is downloaded here."""

from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from sslfast.data import open_source
from sslfast.data.sources.torchvision_sets import torchvision_names
from sslfast.errors import UsageError


@pytest.fixture
def stand_in(monkeypatch):
    """Put an object in the place of torchvision's CIFAR10; return what it was asked for."""

    def install(result, split):
        asked = {}
        if split == "train":

            def make(root, train, download):
                asked.update(root=root, train=train, download=download)
                return result
        else:

            def make(root, split, download):
                asked.update(root=root, split=split, download=download)
                return result

        monkeypatch.setattr(torchvision.datasets, "CIFAR10", make)
        return asked

    return install


class DataSet:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


def test_arrays_as_cifar_has_them(stand_in):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    asked = stand_in(DataSet(data=images, targets=[0, 1, 1, 0], classes=["cat", "dog"]), "train")
    source = open_source("CIFAR10")
    assert asked["train"] is True
    assert asked["download"] is True
    assert source.classes == ["cat", "dog"]
    assert source.labels.tolist() == [0, 1, 1, 0]
    assert np.array_equal(source.images, images)


def test_channels_first_as_stl_has_them(stand_in):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    asked = stand_in(DataSet(data=images, labels=np.array([0, 1, 2, 0])), "split")
    source = open_source("CIFAR10")
    assert asked["split"] == "train"
    assert source.classes == ["0", "1", "2"]
    assert np.array_equal(np.asarray(source.image(1)), images[1].transpose(1, 2, 0))


def test_grayscale_tensors_as_mnist_has_them(stand_in):
    images = torch.randint(0, 256, (4, 8, 8), dtype=torch.uint8)
    stand_in(DataSet(data=images, targets=torch.tensor([0, 1, 0, 1])), "train")
    source = open_source("CIFAR10")
    assert np.array_equal(source.images, images.numpy()[..., None].repeat(3, axis=-1))


@pytest.mark.parametrize("form", ["samples", "_image_files"])
def test_files(stand_in, make_folder, form):
    files = sorted(make_folder().rglob("*.png"))
    labels = [0] * 4 + [1] * 4
    lists = {
        "samples": {"samples": list(zip(map(str, files), labels, strict=True))},
        "_image_files": {"_image_files": files, "_labels": labels},
    }
    stand_in(DataSet(classes=["cat", "dog"], **lists[form]), "split")
    source = open_source("CIFAR10", limit=4)
    assert source.labels.tolist() == [0, 0, 1, 1]
    assert set(source.paths) < set(files)


def test_other_kinds_are_refused(stand_in):
    stand_in(DataSet(images=["a.jpg"]), "split")
    with pytest.raises(UsageError, match="CIFAR10: not an image classification set"):
        open_source("CIFAR10")


def test_no_network_is_one_sentence(monkeypatch):
    def make(root, train, download):
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", make)
    with pytest.raises(
        UsageError, match="CIFAR10: torchvision cannot download it .*not known.*pass a folder"
    ) as caught:
        open_source("CIFAR10")
    assert "\n" not in str(caught.value)


def test_the_usual_names_are_known():
    assert {"CIFAR10", "CIFAR100", "STL10", "SVHN", "Flowers102", "Food101"} <= set(torchvision_names())
    assert "FakeData" not in torchvision_names()
