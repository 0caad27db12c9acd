"""The optimizers of each test, by name."""

import pytest

from tests.kernels.optimizers.classes import OURS


@pytest.fixture(params=OURS)
def name(request):
    return request.param
