"""The classes that a trained network gives to the pixels of whole images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sslfast.config import DataConfig
from sslfast.data.evaluation import normalize
from sslfast.data.masks import MaskedImages
from sslfast.data.sources.reading import in_threads
from sslfast.device import to_device
from sslfast.evaluation.divergence import check_finite
from sslfast.evaluation.segmentation.crops import LONGEST
from sslfast.evaluation.segmentation.fcn import FCN

AHEAD = 16  # images that are read before their turn


@torch.no_grad()
def predictions(
    network: FCN, images: MaskedImages, data: DataConfig, size: int, device: torch.device
) -> Iterator[tuple[Image.Image, NDArray[np.uint8], Tensor]]:
    """Segments whole images, one at a time, without augmentation, at one scale, as mmsegmentation tests.

    The network sees an image with its shorter side brought to `size`, its longer one to at most four times that.
    The scores are brought back to the image's own size before the best class is taken.

    Args:
        network: on the device.
        images: all of which can be read.
        data: `mean` and `std` of the encoder's input.
        size: pixels.
        device: where the network is.

    Yields:
        (image, mask, int64 (H, W) predicted classes on the device).

    Raises:
        TrainingError: the training has diverged.
    """
    network.eval()
    for image, mask in in_threads(images.pair, range(len(images)), AHEAD):
        scale = min(size / min(image.size), LONGEST * size / max(image.size))
        shape = [max(1, round(side * scale)) for side in image.size]
        pixels = to_device(np.array(image.resize(shape, Image.Resampling.BILINEAR)), device)
        scores = network(normalize(pixels.permute(2, 0, 1)[None], data.mean, data.std))
        check_finite(scores)
        scores = F.interpolate(scores, size=mask.shape, mode="bilinear")
        yield image, mask, scores[0].argmax(0)
