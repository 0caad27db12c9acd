"""A draw: the parameters of all that is done to a sample, as a row of numbers."""

from enum import IntEnum

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # the operations of Draw.ORDER


class Draw(IntEnum):
    """The columns of `view_augment`'s draws."""

    TOP = 0  # of the crop; it and the next three in pixels of the image, whole numbers
    LEFT = 1
    HEIGHT = 2
    WIDTH = 3
    FLIP = 4  # not 0: mirror left-right
    JITTER = 5  # not 0: the color jitter, which the next six describe
    BRIGHTNESS = 6  # factor
    CONTRAST = 7  # factor
    SATURATION = 8  # factor
    HUE = 9  # shift in turns of the color wheel
    ORDER = 10  # o0 + 4 o1 + 16 o2 + 64 o3: its operations in the order of their application, each once
    GRAYSCALE = 11  # not 0
    SIGMA = 12  # standard deviation of the Gaussian blur in pixels of the view; 0: no blur
    SOLARIZE = 13  # not 0
