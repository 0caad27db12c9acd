"""Images with masks: the class of every pixel, for semantic segmentation."""

from sslfast.data.masks.base import BACKGROUND, IGNORED, MaskedImages
from sslfast.data.masks.opening import mask_splits, open_masked

__all__ = ["BACKGROUND", "IGNORED", "MaskedImages", "mask_splits", "open_masked"]
