"""PNGs of colors of 16 bits: torchvision decodes them whole, where Pillow keeps the upper 8 bits."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.io import ImageReadMode, decode_png

from sslfast.data.sources.header import UPRIGHT, Header
from sslfast.data.sources.rgb import Samples


def is_deep_png(image: Image.Image, samples: Samples, header: Header) -> bool:
    """Tells whether an image, loaded, is a PNG of three channels of 16 bits, upright and without transparency."""
    is_plain = image.mode == "RGB" and not image.has_transparency_data and header.orientation == UPRIGHT
    return image.format == "PNG" and samples.is_deep_color and is_plain


def decode_deep_png(content: bytes) -> NDArray[np.uint16]:
    """Decodes the pixels of a PNG of three channels of 16 bits, (H, W, 3)."""
    pixels = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode=ImageReadMode.RGB)
    levels: NDArray[np.uint16] = pixels.permute(1, 2, 0).numpy()
    return levels
