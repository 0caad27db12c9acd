"""A split of a torchvision data set by its name, `CIFAR10` or `CIFAR10:test`, downloaded into the cache."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray

from sslfast.data.sources.base import Source
from sslfast.data.sources.cache import cache_folder
from sslfast.data.sources.splits import Splits, check_split
from sslfast.errors import UsageError

logger = logging.getLogger(__name__)


# torchvision's sets of labelled images that it can download, in the forms that `_from_data_set` reads.
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
    """Whether torchvision has a data set of this name, without its `:split`; `open_torchvision` may refuse it."""
    set_name = name.partition(":")[0]
    found = getattr(torchvision.datasets, set_name, None)
    return set_name in SETS or (inspect.isclass(found) and issubclass(found, torchvision.datasets.VisionDataset))


def open_torchvision(name: str) -> Source:
    """Open a split of a torchvision data set, downloading it unless the cache has it.

    Args:
        name: NAME:SPLIT with torchvision's name of the split, or NAME, for the training split.

    Raises:
        UsageError: there is no such split, the data set cannot be downloaded, or it is no set of labelled images
            that can be read, which is said before anything is downloaded.
    """
    set_name, colon, split = name.partition(":")
    if set_name not in SETS:
        raise UsageError(
            f"{name}: torchvision's {set_name} is no set of labelled images that can be downloaded by its name; "
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
    """The source of a data set of torchvision, which holds an array (`data`) or files in one of three forms."""
    array = getattr(data, "data", None)
    if isinstance(array, (np.ndarray, torch.Tensor)):
        classes, labels = _labels(name, data, data.targets if hasattr(data, "targets") else data.labels)
        return Source(name, labels=labels, classes=classes, images=_as_rgb(np.asarray(array)))
    if hasattr(data, "_labels"):
        files = data._image_files if hasattr(data, "_image_files") else data._images
        classes, labels = _labels(name, data, data._labels)
    else:
        samples = getattr(data, "samples", None) or getattr(data, "_samples", None)
        if not samples:
            raise UsageError(f"{name}: not an image classification set; pass its folder of images instead")
        files = [file for file, _ in samples]
        classes, labels = _labels(name, data, [label for _, label in samples])
    return Source(name, labels=labels, classes=classes, paths=[Path(file) for file in files], roots=[root])


def _labels(name: str, data: Any, targets: Any) -> tuple[list[str], NDArray[np.int64] | None]:
    """The classes and the labels of a data set; none of either where an image has no label (None or -1)."""
    labels = np.array([-1 if target is None else int(target) for target in targets], dtype=np.int64)
    if unlabelled := int((labels < 0).sum()):
        if unlabelled < len(labels):
            logger.warning("%s: %d of %d images have no label: no labels are taken", name, unlabelled, len(labels))
        return [], None
    classes = [str(c) for c in getattr(data, "classes", [])]
    return classes or [str(i) for i in range(int(labels.max()) + 1)], labels


def _as_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Images (N, H, W), (N, 3, H, W) or (N, H, W, 3) as the last of these."""
    if array.ndim == 3:
        array = np.repeat(array[..., None], 3, axis=-1)
    elif array.shape[1] == 3 and array.shape[-1] != 3:
        array = array.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(array, dtype=np.uint8)
