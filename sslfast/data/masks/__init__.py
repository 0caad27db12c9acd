"""Images with masks: the class of every pixel, for semantic segmentation."""

from sslfast.data.masks.base import IGNORED, MaskedImages
from sslfast.data.masks.opening import mask_splits, open_masked
from sslfast.data.masks.polygons import BACKGROUND

__all__ = ["BACKGROUND", "IGNORED", "MaskedImages", "mask_splits", "open_masked"]
