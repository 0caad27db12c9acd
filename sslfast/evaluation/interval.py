"""The uncertainty of an accuracy, which a finite number of images leaves."""

from __future__ import annotations

from math import sqrt

Z = 1.959964  # of a normal distribution: 95% lie within so many standard deviations


def wilson_interval(accuracy: float, num_images: int) -> tuple[float, float]:
    """Computes Wilson's 95% interval (1927) for the accuracy on all images, from that on `num_images` of them.

    It says what other images of the same kind may give, and nothing about other seeds of the training.

    Args:
        accuracy: the share of the images that were right, in [0, 1].
        num_images: the number of images, at least 1.

    Returns:
        (lowest, highest), both in [0, 1].
    """
    n = num_images
    center = (accuracy + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(accuracy * (1 - accuracy) / n + Z**2 / (4 * n**2))
    return max(0.0, center - half), min(1.0, center + half)
