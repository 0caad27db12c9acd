"""Training crops of images and masks, augmented as mmsegmentation does for Pascal VOC (pascal_voc12).

A batch is a pure function of (seed, iteration): training goes on anywhere without a state of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sslfast.data.masks import IGNORED, MaskedImages
from sslfast.data.sources.images import UnreadableImage
from sslfast.data.sources.reading import in_threads
from sslfast.errors import UsageError
from sslfast.evaluation.segmentation.photometric import NUM_DRAWS, distorted
from sslfast.evaluation.steps import image_order
from sslfast.random.philox import uniform

SCALES = (0.5, 2.0)  # of the shorter side, by the crop's
LONGEST = 4  # the longer side is at most so many crops times the scale
TRIES, MOST_OF_A_CLASS = 11, 0.75  # a crop is chosen anew where one class has a larger share of its pixels
GEOMETRY, COLORS = 0, 1  # streams of random numbers

Draws = NDArray[np.float64]


def crop_batches(
    images: MaskedImages, mean: Sequence[float], *, size: int, batch_size: int, iterations: range, seed: int
) -> Generator[tuple[NDArray[np.uint8], NDArray[np.uint8]], None, None]:
    """Yields the batches of some iterations.

    The images come in an order of their own in each pass over them; the passes follow each other without a gap.

    Args:
        images: N, all of which can be read.
        mean: of red, green and blue over [0, 1]: what is beyond an image's edges.
        size: side of the crops, pixels.
        batch_size: crops a batch, B.
        iterations: counted from 0.
        seed: of all random numbers.

    Yields:
        (uint8 (B, size, size, 3), uint8 (B, size, size)).
    """
    fill = tuple(round(255 * value) for value in mean)

    def make(place: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        number, index = place
        iteration, row = divmod(number, batch_size)
        geometry = uniform(seed, iteration, [row], GEOMETRY, 2 + 2 * TRIES)[0]
        colors = uniform(seed, iteration, [row], COLORS, NUM_DRAWS)[0]
        try:
            image, mask = crop(*images.pair(index), size, geometry)
        except UnreadableImage as error:
            raise UsageError(f"{images.paths[index]}: can no longer be read ({error})") from error
        return padded(distorted(image, colors), mask, size, fill)

    start, stop = iterations.start * batch_size, iterations.stop * batch_size
    places = zip(range(start, stop), image_order(len(images), seed, start), strict=False)
    crops = in_threads(make, places, ahead=2 * batch_size)
    while batch := list(islice(crops, batch_size)):
        pixels, masks = zip(*batch, strict=True)
        yield np.stack(pixels), np.stack(masks)


def crop(
    image: Image.Image, mask: NDArray[np.uint8], size: int, draws: Draws
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Resizes an image and its mask by a random scale, cuts out a random place, and flips every second one.

    Only what is cut out is resized. A mask has its pixels' classes, not averages of them.

    Args:
        image: RGB.
        mask: (H, W) of its size.
        size: of the crop, which is smaller where the image is.
        draws: (2 + 2 * TRIES,) uniform numbers: of the scale, the flip, and the places.
    """
    least, most = SCALES
    scale = size * (least + (most - least) * draws[0])
    scale = min(scale / min(image.size), LONGEST * scale / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    cut = (min(width, size), min(height, size))
    across, down = image.width / width, image.height / height
    classes = Image.fromarray(mask)
    for x, y in draws[2:].reshape(TRIES, 2):
        left, top = int(x * (width - cut[0] + 1)), int(y * (height - cut[1] + 1))
        right, bottom = min((left + cut[0]) * across, image.width), min((top + cut[1]) * down, image.height)
        box = (left * across, top * down, right, bottom)
        chosen = np.asarray(classes.resize(cut, Image.Resampling.NEAREST, box))
        if is_varied(chosen):
            break
    resized = image.resize(cut, Image.Resampling.BILINEAR, box)
    if draws[1] < 0.5:
        return resized, chosen
    return resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT), chosen[:, ::-1]


def is_varied(mask: NDArray[np.uint8]) -> bool:
    """Tells whether a mask has at least two classes, none with more than MOST_OF_A_CLASS of their pixels."""
    counts = np.bincount(mask.ravel(), minlength=IGNORED + 1)[:IGNORED]
    return bool(np.count_nonzero(counts) > 1 and counts.max() < MOST_OF_A_CLASS * counts.sum())


def padded(
    image: Image.Image, mask: NDArray[np.uint8], size: int, fill: tuple[int, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pads a crop and its mask at the right and below by `fill` and IGNORED, to size x size pixels."""
    pixels = np.full((size, size, 3), fill, dtype=np.uint8)
    classes = np.full((size, size), IGNORED, dtype=np.uint8)
    pixels[: image.height, : image.width], classes[: image.height, : image.width] = np.asarray(image), mask
    return pixels, classes
