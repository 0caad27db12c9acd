"""The implementations and the rules of each test."""

import pytest

from tests.kernels.optimizer_rules import RULES


@pytest.fixture(params=["reference", "cpp", "cuda"])
def impl(request):
    return request.param


@pytest.fixture(params=RULES)
def rule(request):
    return request.param
