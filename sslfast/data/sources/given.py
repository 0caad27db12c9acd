"""Images that Python code has: a data set of PyTorch, or an array."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sslfast.config.settings import shown
from sslfast.data.in_memory import room_of
from sslfast.data.inventory import ArrayInventory
from sslfast.data.sources.arrays import numbered
from sslfast.data.sources.base import Source
from sslfast.data.sources.form import Form, Levels
from sslfast.data.sources.names import Name, Names
from sslfast.data.sources.parts import GRAY_MODES, as_array, parts_of
from sslfast.data.sources.rgb import is_deep_gray, read_samples
from sslfast.errors import UsageError
from sslfast.given import PREFIX, given
from sslfast.progress import tqdm

CPU = torch.device("cpu")
USUAL_CHANNELS = (1, 3)
TYPES = (np.uint8, np.uint16, torch.uint8, torch.uint16)

# Names, as `open_source` takes them; a torch.utils.data.Dataset; images, or (images, labels).
Data = Any


@contextmanager
def named_data(data: Data | None) -> Iterator[Any]:
    """Yields a name of images for `data.source`, by which they are found until the block ends; names as they are.

    The name tells the kind of the images and a digest of them and their labels: the same ones have the same name.

    Args:
        data: names; or a data set with `len()` whose items are images or (image, label), and whose `classes`, if
            it has them, are the labels' names; or images (N, H, W, C) in an array or a tensor; or the pair
            (images, labels). An image is of PIL, or uint8 or uint16 (H, W), (H, W, C) or, in a tensor, (C, H, W),
            where the last dimension is not of one channel or three. `data.channels` and `data.depth` are to fit
            them. A label is the number of a class; where one is None or -1, none is taken.

    Raises:
        UsageError: it is something else, or takes more than half of the host's memory, where all of it is kept.
    """
    if data is None or is_names(data):
        yield data
        return
    source = read_given(data)
    digest = ArrayInventory.of(source).sha256[:8]
    source.name = f"{source.name}-{digest}"
    with given(source.name, source) as name:
        yield name


def is_names(data: Data) -> TypeGuard[Names]:
    """Tells whether data is named: by one name, or by a list of them."""
    if isinstance(data, Name):
        return True
    return isinstance(data, (list, tuple)) and all(isinstance(name, Name) for name in data)


def read_given(data: Data) -> Source:
    """Makes a source in memory of the images that `named_data` takes, called by their kind. Raises as it."""
    labels: list[Any] | None = None
    images: Any = data
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], (np.ndarray, Tensor)):
        images, labels = data[0], np.asarray(data[1]).tolist()
    name, classes, sizes = f"{PREFIX}{type(images).__name__}", getattr(data, "classes", []), None
    if isinstance(images, (np.ndarray, Tensor)):
        pixels = _checked(images, name, leading=1)
        if labels is not None and len(labels) != len(pixels):
            raise UsageError(f"{name}: expected a label for each of {len(pixels)} images, got {len(labels)}")
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (dict, list, tuple)):
        pixels, sizes, labels = _read_items(data, name)
    else:
        raise UsageError(
            "data: expected the name or the path of images, a list of these, a data set with len(), images "
            f"(N, H, W, C) or (images, labels), got a {type(data).__name__}; settings of the section are given as "
            "**{'data.size': 64}"
        )
    try:
        names, numbers = ([], None) if labels is None else numbered(name, labels, classes)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: expected the number of a class as each label: {error}") from error
    if numbers is not None and numbers.max() >= len(names):
        raise UsageError(f"{name}: has the label {numbers.max()}, and names {len(names)} classes only")
    return Source(name, labels=numbers, classes=names, images=pixels, sizes=sizes)


def _read_items(data: Any, name: str) -> tuple[Levels, NDArray[np.int64] | None, list[Any] | None]:
    """Reads all of a data set: its images, their sizes if these differ, its labels if there are any."""
    images: list[Levels] = []
    labels: list[Any] = []
    room, taken = room_of(CPU), 0
    for number in tqdm(range(len(data)), f"reading {name}", disable=None):
        try:
            item = data[number]
        except Exception as error:  # of whatever the data set does
            raise UsageError(f"{name}: item {number} raises {type(error).__name__}: {error}") from error
        image, label = item if isinstance(item, (tuple, list)) and len(item) == 2 else (item, None)
        images.append(_checked(image, f"{name}, item {number}", leading=0))
        labels.append(label)
        taken += images[-1].nbytes
        if taken > room:
            raise UsageError(
                f"{name}: {number + 1} of its {len(data)} images take more than half of the memory, where all are "
                "kept; save them as files"
            )
    if not images:
        raise UsageError(f"{name}: holds no images")
    sizes = np.array([image.shape[:2] for image in images], dtype=np.int64)
    height, width = sizes.max(axis=0)
    forms = [Form.of_levels(image) for image in images]
    form = Form(max(each.channels for each in forms), max(each.depth for each in forms))
    for number, image in enumerate(images):
        if not form.takes(image.shape[-1]):
            got = tuple(image.shape)
            raise UsageError(
                f"{name}, item {number}: expected {form.channels} channels, as others have, got {got}"
            )
    all_images = form.zeros(len(images), height, width)
    for row, image in zip(all_images, map(form.of_array, images), strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    has_labels = any(label is not None for label in labels)
    return all_images, None if (sizes == (height, width)).all() else sizes, labels if has_labels else None


def _checked(image: Any, where: str, *, leading: int) -> Levels:
    """Copies an image, or an array of them where one dimension leads, as (H, W, C) or (N, H, W, C) of its bits."""
    if isinstance(image, Image.Image):
        try:
            return _pixels(image)
        except ValueError as error:  # values whose scale it does not tell
            raise UsageError(f"{where}: {error}; or give it as an array of uint16") from error
    if not isinstance(image, (np.ndarray, Tensor)):
        raise UsageError(f"{where}: expected an image of PIL, an array or a tensor, got {shown(image)}")
    if image.dtype not in TYPES:
        raise UsageError(
            f"{where}: expected uint8 or uint16, got {image.dtype}; leave out what scales and normalizes images, "
            "which is done here, after they are augmented"
        )
    array = image.numpy(force=True) if isinstance(image, Tensor) else image
    if array.ndim == leading + 2:
        array = array[..., None]
    elif isinstance(image, Tensor) and array.ndim == leading + 3 and array.shape[-1] not in USUAL_CHANNELS:
        array = np.moveaxis(array, leading, -1)
    if array.ndim != leading + 3 or not array.size:
        kinds = "(N, H, W) or (N, H, W, C)" if leading else "(H, W) or (H, W, C)"
        raise UsageError(f"{where}: expected {kinds}, got {tuple(image.shape)}")
    return array.copy()  # which nobody else changes


def _pixels(image: Image.Image) -> Levels:
    """Returns the pixels of an image of PIL, (H, W, C): gray of 8 or 16 bits, else RGB."""
    samples, is_deep = read_samples(image), is_deep_gray(image)
    is_gray = is_deep or image.mode in GRAY_MODES
    return as_array(parts_of(image, samples, Form(1 if is_gray else 3, 16 if is_deep else 8)))
