from sslfast.kernels.view_augment.draw import BRIGHTNESS, CONTRAST, HUE, SATURATION, Draw
from sslfast.kernels.view_augment.hexcone import hexcone_from_rgb, rgb_from_hexcone
from sslfast.kernels.view_augment.op import view_augment
from sslfast.kernels.view_augment.reference import blur_window

__all__ = [
    "BRIGHTNESS",
    "CONTRAST",
    "HUE",
    "SATURATION",
    "Draw",
    "blur_window",
    "hexcone_from_rgb",
    "rgb_from_hexcone",
    "view_augment",
]
