"""Images and their objects as torchvision's detectors take them.

A batch is a pure function of (seed, iteration): training goes on anywhere without a state of its own.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from sslfast.data.annotations import AnnotatedImages
from sslfast.data.sources.images import UnreadableImage
from sslfast.data.sources.reading import in_threads
from sslfast.device import to_device
from sslfast.errors import UsageError
from sslfast.evaluation.steps import image_order
from sslfast.random.philox import uniform

FLIP = 0  # a stream of random numbers

Target = dict[str, Tensor]
Example = tuple[Tensor, Target]


def training_batches(
    images: AnnotatedImages, *, batch_size: int, iterations: range, seed: int, masks: bool
) -> Generator[list[Example], None, None]:
    """Yields the batches of some iterations, each image flipped or not.

    The images come in an order of their own in each pass over them; the passes follow each other without a gap.

    Args:
        images: N, all of which can be read and show an object.
        batch_size: images a batch.
        iterations: counted from 0.
        seed: of all random numbers.
        masks: give masks as well.

    Yields:
        `batch_size` examples, without the objects that are ignored.
    """

    def make(place: tuple[int, int]) -> Example:
        number, index = place
        iteration, row = divmod(number, batch_size)
        image, target = read_example(images, index, masks=masks)
        target = {key: value[~target["iscrowd"]] for key, value in target.items()}
        flipped = uniform(seed, iteration, [row], FLIP, 1)[0, 0] < 0.5
        return flip(image, target) if flipped else (image, target)

    start, stop = iterations.start * batch_size, iterations.stop * batch_size
    places = zip(range(start, stop), image_order(len(images), seed, start), strict=False)
    examples = in_threads(make, places, ahead=2 * batch_size)
    while batch := list(islice(examples, batch_size)):
        yield batch


def read_example(images: AnnotatedImages, index: int, *, masks: bool) -> Example:
    """Reads one image and its objects.

    Returns:
        (uint8 (3, H, W), {"boxes": float32 (n, 4), "labels": int64 (n,) from 1 on, "iscrowd": bool (n,), of those
        that are ignored, "masks": bool (n, H, W)}).

    Raises:
        UsageError: the image can no longer be read.
    """
    try:
        image = images.image(index)
    except UnreadableImage as error:
        raise UsageError(f"{images.paths[index]}: can no longer be read ({error})") from error
    objects = images.objects(index)
    target = {"boxes": objects.boxes, "labels": objects.labels + 1, "iscrowd": objects.ignored}
    if masks:
        target["masks"] = objects.masks(image.height, image.width)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return pixels, {key: torch.from_numpy(value) for key, value in target.items()}


def flip(image: Tensor, target: Target) -> Example:
    """Exchanges left and right of an example."""
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    width = image.shape[-1]
    flipped = {**target, "boxes": torch.stack([width - x2, y1, width - x1, y2], dim=1)}
    if "masks" in target:
        flipped["masks"] = target["masks"].flip(-1)
    return image.flip(-1), flipped


def on_device(example: Example, device: torch.device) -> Example:
    """Copies an example to a device, its image as float32 in [0, 1]."""
    image, target = example
    pixels = to_device(image.numpy(), device).float() / 255
    return pixels, {key: to_device(value.numpy(), device) for key, value in target.items()}
