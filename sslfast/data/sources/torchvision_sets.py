"""A split of a torchvision data set by its name, `CIFAR10` or `CIFAR10:test`, downloaded into the cache."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from sslfast.data.sources.arrays import channels_last, numbered
from sslfast.data.sources.base import Source
from sslfast.data.sources.cache import cache_folder
from sslfast.data.sources.splits import Splits, check_split
from sslfast.errors import UsageError

# torchvision's sets of labeled images that it can download, in the forms that `_from_data_set` reads.
SETS = {
    "CIFAR10": Splits(),
    "CIFAR100": Splits(),
    "CLEVRClassification": Splits(test="val", others=("test",)),  # whose test split has no labels
    "Country211": Splits(others=("valid",)),
    "DTD": Splits(others=("val",)),
    "EuroSAT": Splits(train=None, test=None),
    "FGVCAircraft": Splits(others=("val", "trainval")),
    "FashionMNIST": Splits(),
    "Flowers102": Splits(others=("val",)),
    "Food101": Splits(),
    "GTSRB": Splits(),
    "Imagenette": Splits(test="val"),
    "KMNIST": Splits(),
    "MNIST": Splits(),
    "OxfordIIITPet": Splits(train="trainval"),
    "RenderedSST2": Splits(others=("val",)),
    "SEMEION": Splits(train=None, test=None),
    "STL10": Splits(others=("unlabeled", "train+unlabeled")),
    "SUN397": Splits(train=None, test=None),
    "SVHN": Splits(others=("extra",)),
    "USPS": Splits(),
}


def is_torchvision(name: str) -> bool:
    """Tells whether torchvision has a data set of this name, without `:split`; it may yet be refused."""
    set_name = name.partition(":")[0]
    found = getattr(torchvision.datasets, set_name, None)
    return set_name in SETS or (inspect.isclass(found) and issubclass(found, torchvision.datasets.VisionDataset))


def open_torchvision(name: str) -> Source:
    """Opens a split of a torchvision data set, downloading it unless the cache has it.

    Args:
        name: NAME:SPLIT with torchvision's name of the split, or NAME, for the training split.

    Raises:
        UsageError: there is no such split, the data set cannot be downloaded, or it is no set of labeled images
            that can be read, which is said before anything is downloaded.
    """
    set_name, colon, split = name.partition(":")
    if set_name not in SETS:
        raise UsageError(
            f"{name}: torchvision's {set_name} is no set of labeled images that can be downloaded by its name; "
            "pass a folder of its images instead"
        )
    splits = SETS[set_name]
    if colon:
        check_split(name, set_name, split, splits)
    root = cache_folder() / "torchvision" / set_name
    root.mkdir(parents=True, exist_ok=True)
    chosen = split or splits.train
    data_set = getattr(torchvision.datasets, set_name)
    if chosen is None:
        arguments: dict[str, Any] = {}
    elif "train" in inspect.signature(data_set).parameters:
        arguments = {"train": chosen == "train"}
    else:
        arguments = {"split": chosen}
    try:
        data = data_set(root, download=True, **arguments)
    except (OSError, RuntimeError, ValueError) as error:  # URLError is an OSError, a bad checksum a RuntimeError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{name}: torchvision cannot download it ({reason}); pass a folder or a .tar instead"
        ) from error
    return _from_data_set(name, data, root)


def _from_data_set(name: str, data: Any, root: Path) -> Source:
    """Makes a source of a data set of torchvision: an array (`data`), or files in one of three forms."""
    array, names = getattr(data, "data", None), getattr(data, "classes", [])
    if isinstance(array, (np.ndarray, torch.Tensor)):
        classes, labels = numbered(name, data.targets if hasattr(data, "targets") else data.labels, names)
        return Source(name, labels=labels, classes=classes, images=channels_last(np.asarray(array)))
    if hasattr(data, "_labels"):
        files = data._image_files if hasattr(data, "_image_files") else data._images
        classes, labels = numbered(name, data._labels, names)
    else:
        samples = getattr(data, "samples", None) or getattr(data, "_samples", None)
        if not samples:
            raise UsageError(f"{name}: not an image classification set; pass its folder of images instead")
        files = [file for file, _ in samples]
        classes, labels = numbered(name, [label for _, label in samples], names)
    return Source(name, labels=labels, classes=classes, paths=[Path(file) for file in files], roots=[root])
