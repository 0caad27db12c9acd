"""torchvision's data sets, in the forms they come in; nothing is downloaded here."""

import inspect
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision

from sslfast.data import open_source
from sslfast.data.sources.cache import cache_folder
from sslfast.data.sources.torchvision_sets import SETS
from sslfast.errors import UsageError

UNFIT = ["Caltech101", "CelebA", "FakeData", "Kinetics", "MovingMNIST", "PhotoTour", "Places365", "WIDERFace"]


@pytest.fixture
def stand_in(monkeypatch):
    """Gives a function that puts an object in the place of torchvision's data set; lists what that is asked."""

    def install(result, split, name="CIFAR10"):
        asked = {}
        if split == "train":

            def make(root, train, download):
                asked.update(root=root, train=train, download=download)
                return result
        else:

            def make(root, split, download):
                asked.update(root=root, split=split, download=download)
                return result

        monkeypatch.setattr(torchvision.datasets, name, make)
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
    assert np.array_equal(source.images, images.numpy()[..., None])
    assert np.array_equal(source.image(1), images.numpy()[1, ..., None].repeat(3, axis=-1))


@pytest.mark.parametrize("form", ["samples", "_image_files"])
def test_files(stand_in, make_folder, form):
    """They are named from the folder that the data set is downloaded to, wherever that lies."""
    root = cache_folder() / "torchvision" / "CIFAR10"
    files = sorted(make_folder(root=root).rglob("*.png"))
    labels = [0] * 4 + [1] * 4
    lists = {
        "samples": {"samples": list(zip(map(str, files), labels, strict=True))},
        "_image_files": {"_image_files": files, "_labels": labels},
    }
    stand_in(DataSet(classes=["cat", "dog"], **lists[form]), "split")
    source = open_source("CIFAR10", limit=4)
    assert source.labels.tolist() == [0, 0, 1, 1]
    assert set(source.paths) < set(files)
    assert source.roots == (root,)


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
    assert {"CIFAR10", "CIFAR100", "STL10", "SVHN", "Flowers102", "Food101"} <= SETS.keys()
    assert "FakeData" not in SETS


def test_a_split_can_be_named(stand_in):
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    cifar = stand_in(DataSet(data=images, targets=[0, 1]), "train")
    for name, train in {"CIFAR10": True, "CIFAR10:train": True, "CIFAR10:test": False}.items():
        source = open_source(name)
        assert (source.name, cifar["train"]) == (name, train)
    flowers = stand_in(DataSet(data=images, targets=[0, 1]), "split", "Flowers102")
    for name, split in {"Flowers102": "train", "Flowers102:val": "val"}.items():
        open_source(name)
        assert (flowers["split"], flowers["root"].name) == (split, "Flowers102")


def test_a_split_without_labels_has_none(stand_in, caplog):
    images = np.zeros((3, 3, 8, 8), dtype=np.uint8)
    asked = stand_in(DataSet(data=images, labels=np.array([-1, -1, -1]), classes=["cat", "dog"]), "split", "STL10")
    source = open_source("STL10:unlabeled")
    assert (asked["split"], source.labels, source.classes, len(source)) == ("unlabeled", None, [], 3)
    assert not caplog.records
    stand_in(DataSet(data=images, labels=np.array([0, -1, 1]), classes=["cat", "dog"]), "split", "STL10")
    assert open_source("STL10:train+unlabeled").labels is None
    assert "STL10:train+unlabeled: 1 of 3 images have no label" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CIFAR10:tets", "CIFAR10:tets: CIFAR10 has no split 'tets'; did you mean 'test'?"),
        ("CIFAR10:", "CIFAR10:: CIFAR10 has no split ''; choose from train, test"),
        ("EuroSAT:test", "EuroSAT:test: EuroSAT has no split 'test'; it has no splits"),
        ("CIFR10:test", "did you mean CIFAR10"),
        *((name, f"{name}: torchvision's {name} is no set of labeled images") for name in UNFIT),
        ("VOCDetection:val", "VOCDetection:val: torchvision's VOCDetection is no set of labeled images"),
    ],
)
def test_what_cannot_serve_is_refused_before_anything_is_downloaded(monkeypatch, tmp_path, name, message):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets.utils, "download_url", None)  # a call fails
    with pytest.raises(UsageError) as caught:
        open_source(name)
    assert message in str(caught.value)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("name", SETS)
def test_torchvision_knows_the_splits(tmp_path, name):
    """Without the files the constructor says that they are missing; of a wrong split, that it is wrong."""
    data_set = getattr(torchvision.datasets, name)
    parameters = inspect.signature(data_set).parameters
    assert {"root", "download"} <= parameters.keys()
    if "train" in parameters:
        assert SETS[name].names == ["train", "test"]
    elif "split" in parameters:
        for split in SETS[name].names:
            with pytest.raises((RuntimeError, FileNotFoundError)):
                data_set(tmp_path, split=split)
        with pytest.raises(ValueError, match="nosplit"):
            data_set(tmp_path, split="nosplit")
    else:
        assert not SETS[name].names
