"""The draws of a view by torchvision's rules, each sample's own: the specification, on the host.

They are made of the numbers of `random/philox.py`, so that every pipeline applies the same views to the same
samples; a GPU computes the same ones by a kernel (`on_device.py`). The rules, of torchvision.transforms.v2 and in
this order: RandomResizedCrop, RandomHorizontalFlip, ColorJitter under RandomApply, RandomGrayscale, GaussianBlur
under RandomApply, RandomSolarize.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sslfast.config import ViewConfig
from sslfast.kernels.view_augment import Draw
from sslfast.random.philox import uniform

CROP, FLIP, JITTER, GRAYSCALE, BLUR, SOLARIZE = range(6)  # streams of a view's numbers
STREAMS_PER_VIEW = 16  # room for the transformations to come: a new one must not change the draws of the others
CROP_TRIES = 10
ORDERS = np.array(list(permutations(range(4))))  # [24, 4]


@dataclass(frozen=True)
class ViewDraws:
    """One view's draws for a batch of B samples."""

    boxes: NDArray[np.int64]  # (B, 4) crop: top, left, height, width, in pixels
    flip: NDArray[np.bool_]  # (B,) mirror left-right
    jitter: NDArray[np.bool_]  # (B,) apply the color jitter; where not, its factors and order mean nothing
    brightness: NDArray[np.float32]  # (B,) factor
    contrast: NDArray[np.float32]  # (B,) factor
    saturation: NDArray[np.float32]  # (B,) factor
    hue: NDArray[np.float32]  # (B,) shift, in turns of the color wheel
    order: NDArray[np.int64]  # (B, 4) operations in the order of their application
    grayscale: NDArray[np.bool_]  # (B,)
    blur_sigma: NDArray[np.float32]  # (B,) standard deviation in pixels of the view; 0: no blur
    solarize: NDArray[np.bool_]  # (B,)

    def crops(self) -> NDArray[np.float32]:
        """Returns float32 (B, 5): top, left, height, width, and 1 where the crop is mirrored."""
        return np.concatenate([self.boxes, self.flip[:, None]], axis=1, dtype=np.float32)

    def table(self) -> NDArray[np.float32]:
        """Returns float32 (B, 14), as `view_augment` takes them: the columns of its `Draw`."""
        table = np.empty((len(self.boxes), len(Draw)), dtype=np.float32)
        table[:, : Draw.FLIP + 1] = self.crops()
        table[:, Draw.JITTER] = self.jitter
        table[:, Draw.BRIGHTNESS] = self.brightness
        table[:, Draw.CONTRAST] = self.contrast
        table[:, Draw.SATURATION] = self.saturation
        table[:, Draw.HUE] = self.hue
        table[:, Draw.ORDER] = self.order @ 4 ** np.arange(4)
        table[:, Draw.GRAYSCALE] = self.grayscale
        table[:, Draw.SIGMA] = self.blur_sigma
        table[:, Draw.SOLARIZE] = self.solarize
        return table


def sample_view(
    view: ViewConfig,
    seed: int,
    epoch: int,
    indices: ArrayLike,
    view_number: int,
    heights: ArrayLike,
    widths: ArrayLike,
) -> ViewDraws:
    """Samples the draws of one view of each sample.

    Args:
        view: its probabilities and ranges.
        seed: the run's seed.
        epoch: the epoch.
        indices: (B,) positions of the samples in the data set.
        view_number: which of the sample's views; their draws are independent.
        heights: (B,) or scalar, of the images, in pixels.
        widths: (B,) or scalar, of the images, in pixels.

    Returns:
        The draws: a pure function of the arguments, sample by sample.
    """
    samples = np.asarray(indices)

    def numbers(kind: int, count: int) -> NDArray[np.float64]:
        """Samples uniform numbers of a stream, [count, B]."""
        return uniform(seed, epoch, samples, view_number * STREAMS_PER_VIEW + kind, count).T

    regions = view_regions(view, np.broadcast_to(heights, samples.shape), np.broadcast_to(widths, samples.shape))
    boxes = crop_boxes(numbers(CROP, 2 * CROP_TRIES + 2), regions[:, 2], regions[:, 3], view.scale, view.ratio)
    boxes[:, :2] += regions[:, :2]
    jitter, brightness, contrast, saturation, hue, order = numbers(JITTER, 6)
    blur, sigma = numbers(BLUR, 2)
    return ViewDraws(
        boxes=boxes,
        flip=numbers(FLIP, 1)[0] < view.flip,
        jitter=jitter < view.jitter,
        brightness=_factor(brightness, view.brightness),
        contrast=_factor(contrast, view.contrast),
        saturation=_factor(saturation, view.saturation),
        hue=_between(hue, -view.hue, view.hue).astype(np.float32),
        order=ORDERS[(order * len(ORDERS)).astype(np.int64)],
        grayscale=numbers(GRAYSCALE, 1)[0] < view.grayscale,
        blur_sigma=np.where(blur < view.blur, _between(sigma, *view.blur_sigma), 0).astype(np.float32),
        solarize=numbers(SOLARIZE, 1)[0] < view.solarize,
    )


def view_regions(view: ViewConfig, heights: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Computes the parts of images that a view is cropped from, to whole pixels, at least one.

    Args:
        view: its `region`.
        heights: (B,) of the images.
        widths: (B,) of the images.

    Returns:
        int64 (B, 4): top, left, height, width.
    """
    sides = np.stack((heights, widths), axis=1)
    start = np.minimum(np.rint(sides * view.region[:2]), sides - 1).astype(np.int64)
    end = np.maximum(np.rint(sides * view.region[2:]).astype(np.int64), start + 1)
    return np.concatenate((start, end - start), axis=1)


def crop_boxes(
    numbers: NDArray[np.float64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    scale: Sequence[float],
    ratio: Sequence[float],
) -> NDArray[np.int64]:
    """Computes the boxes of RandomResizedCrop.

    Up to ten tries at a box of `scale` times the image's area and of a log-uniform aspect ratio; the first that
    fits is placed uniformly. Where none fits: the central crop whose ratio comes nearest.

    Args:
        numbers: (22, B) uniform in [0, 1): ten areas, ten ratios, top, left.
        heights: (B,) of the images.
        widths: (B,) of the images.
        scale: least and largest share of the area.
        ratio: least and largest width / height.

    Returns:
        int64 (B, 4): top, left, height, width; always inside the image.
    """
    area_numbers, ratio_numbers = numbers[:CROP_TRIES], numbers[CROP_TRIES : 2 * CROP_TRIES]
    area = heights * widths * _between(area_numbers, *scale)  # [tries, B]
    aspect = np.exp(_between(ratio_numbers, *np.log(ratio)))
    width = np.rint(np.sqrt(area * aspect))
    height = np.rint(np.sqrt(area / aspect))
    fits = (width > 0) & (width <= widths) & (height > 0) & (height <= heights)
    any_fits, first = fits.any(axis=0), fits.argmax(axis=0)[None]
    height = np.take_along_axis(height, first, axis=0)[0]
    width = np.take_along_axis(width, first, axis=0)[0]

    central_height, central_width = central_crop(heights, widths, ratio)
    height = np.where(any_fits, height, central_height).astype(np.int64)
    width = np.where(any_fits, width, central_width).astype(np.int64)

    top_number, left_number = numbers[2 * CROP_TRIES :]
    top = np.where(any_fits, top_number * (heights - height + 1), (heights - height) // 2)
    left = np.where(any_fits, left_number * (widths - width + 1), (widths - width) // 2)
    return np.stack((top.astype(np.int64), left.astype(np.int64), height, width), axis=1)


def central_crop(heights: ArrayLike, widths: ArrayLike, ratio: Sequence[float]) -> tuple[ArrayLike, ArrayLike]:
    """Computes the height and width of the largest crops whose ratio comes nearest to the range.

    An image narrower than the least ratio keeps its width, one wider than the largest keeps its height.
    """
    central_heights = np.minimum(heights, np.maximum(1, np.rint(np.divide(widths, ratio[0]))))
    central_widths = np.minimum(widths, np.maximum(1, np.rint(np.multiply(heights, ratio[1]))))
    return central_heights, central_widths


def factor_range(strength: float) -> tuple[float, float]:
    """Returns the range of ColorJitter's factors: [max(0, 1 - strength), 1 + strength]."""
    return max(0.0, 1 - strength), 1 + strength


def _between(numbers: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return low + (high - low) * numbers


def _factor(numbers: NDArray[np.float64], strength: float) -> NDArray[np.float32]:
    return _between(numbers, *factor_range(strength)).astype(np.float32)
