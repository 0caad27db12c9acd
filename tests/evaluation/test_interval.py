"""The interval of an accuracy."""

import pytest
from scipy.stats import binomtest

from sslfast.evaluation.interval import wilson_interval


@pytest.mark.parametrize(("right", "images"), [(0, 1), (1, 1), (6, 60), (60, 60), (251, 500), (9000, 10000)])
def test_it_is_wilsons(right, images):
    expected = binomtest(right, images).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right / images, images) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_sixty_images_leave_much_open():
    low, high = wilson_interval(0.1, 60)
    assert high - low > 0.12
