"""Images for the tests of views, and the places that patches of them were cut from."""

import torch


def every_color(steps):
    """Makes colors over the whole cube, (1, 3, steps**3, 1)."""
    level = torch.linspace(0, 1, steps)
    return torch.cartesian_prod(level, level, level).T[None, :, :, None]


def corners(patches):
    """Finds row and column of each patch's first pixel, (B, N, 2); of images of the fixture `places`."""
    return patches[:, :, :2, 0, 0]
