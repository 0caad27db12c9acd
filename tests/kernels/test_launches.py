"""The Triton kernels compile ahead of time, for GPUs that need not be there: see launches/ for the ops."""

import pytest

from tests.kernels.compiled import ARCHITECTURES, assert_compiles
from tests.kernels.launches import launches

LAUNCHES = launches()


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", LAUNCHES)
def test_kernels_compile_ahead_of_time(name, arch):
    op = LAUNCHES[name]
    assert_compiles(op.cases(arch), wgmma=op.wgmma, wide_offsets=op.wide_offsets)
