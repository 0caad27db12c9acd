"""The architectures that kernels are compiled for: one in every test run, the others by `make test-long`."""

import pytest

ARCHITECTURES = (80, 90, 100, 120)  # those that setup.py builds for
ONE_AND_OTHERS = [pytest.param(number, marks=[] if number == 90 else pytest.mark.long) for number in ARCHITECTURES]
