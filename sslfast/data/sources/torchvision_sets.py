"""A torchvision data set by its name, downloaded into the cache."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray

from sslfast.data.sources.base import Source
from sslfast.data.sources.cache import cache_folder
from sslfast.errors import UsageError


def torchvision_names() -> list[str]:
    """The data sets that torchvision can download."""
    return [name for name in torchvision.datasets.__all__ if {"root", "download"} <= _parameters(name).keys()]


def open_torchvision(name: str) -> Source:
    """Open the training split of a torchvision data set, downloading it unless the cache has it.

    Raises:
        UsageError: it cannot be downloaded, or it is no image classification set.
    """
    root = cache_folder() / "torchvision" / name
    root.mkdir(parents=True, exist_ok=True)
    parameters = _parameters(name)
    training: dict[str, Any] = {}
    if "train" in parameters:
        training = {"train": True}
    elif "split" in parameters:
        training = {"split": "train"}
    try:
        data = getattr(torchvision.datasets, name)(root, download=True, **training)
    except (OSError, RuntimeError, ValueError) as error:  # URLError is an OSError, a bad checksum a RuntimeError
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{name}: torchvision cannot download it ({reason}); pass a folder or a .tar instead"
        ) from error
    return _from_data_set(name, data)


def _from_data_set(name: str, data: Any) -> Source:
    """torchvision's data sets hold an array (`data`), or a list of files in one of two forms."""
    classes = [str(c) for c in getattr(data, "classes", [])]
    array = getattr(data, "data", None)
    if isinstance(array, (np.ndarray, torch.Tensor)):
        labels = np.asarray(data.targets if hasattr(data, "targets") else data.labels, dtype=np.int64)
        return Source(name, labels=labels, classes=classes or _numbered(labels), images=_as_rgb(np.asarray(array)))
    if hasattr(data, "_image_files") and hasattr(data, "_labels"):
        files, labels = data._image_files, np.asarray(data._labels, dtype=np.int64)
    else:
        samples = getattr(data, "samples", None) or getattr(data, "_samples", None)
        if not samples:
            raise UsageError(f"{name}: not an image classification set; pass its folder of images instead")
        files, labels = [file for file, _ in samples], np.array([label for _, label in samples], dtype=np.int64)
    paths = [Path(file) for file in files]
    return Source(name, labels=labels, classes=classes or _numbered(labels), paths=paths)


def _as_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    """(N, H, W), (N, 3, H, W) or (N, H, W, 3) to the last."""
    if array.ndim == 3:
        array = np.repeat(array[..., None], 3, axis=-1)
    elif array.shape[1] == 3 and array.shape[-1] != 3:
        array = array.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(array, dtype=np.uint8)


def _numbered(labels: NDArray[np.int64]) -> list[str]:
    return [str(i) for i in range(int(labels.max()) + 1)]


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(torchvision.datasets, name)).parameters)
