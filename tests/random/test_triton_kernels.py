"""The numbers that a GPU samples: the host's, bit for bit."""

import pytest
import torch

from sslfast.random.philox import permutation, uniform
from tests.kernels.architectures import ONE_AND_OTHERS
from tests.kernels.compiled import assert_compiles
from tests.random.launches import launch

triton_kernels = pytest.importorskip("sslfast.random.triton_kernels")

# What Triton's interpreter makes numpy say.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:triton.runtime.interpreter", "ignore::RuntimeWarning:triton.runtime.interpreter"
)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("n", [1, 1024, 2500])
@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (2**40 + 7, 2)])
def test_the_order_is_the_hosts(seed, epoch, n):
    order = triton_kernels.permutation(seed, epoch, n, DEVICE).cpu()
    assert torch.equal(order, torch.from_numpy(permutation(seed, epoch, n)))


@pytest.mark.parametrize("seed", [0, 2**32 + 1, 2**63 - 1])
@pytest.mark.parametrize(("epoch", "stream", "count"), [(0, 0, 1), (2**31 + 5, 2**31 + 120, 9), (3, 7, 1500)])
def test_numbers_are_the_hosts(seed, epoch, stream, count):
    indices = torch.tensor([0, 2**32 - 1, 77], device=DEVICE)
    numbers = triton_kernels.uniform_draws(seed, epoch, indices, stream, count)
    expected = uniform(seed, epoch, indices.cpu().numpy(), stream, count)
    assert torch.equal(numbers.cpu(), torch.from_numpy(expected))
    assert triton_kernels.uniform_draws(seed, epoch, indices[:0], stream, count).shape == (0, count)


def test_the_operator_of_the_numbers():
    indices = torch.arange(6, device=DEVICE)[::2]
    torch.library.opcheck(torch.ops.sslfast.uniform_draws, (2**40, 1, indices, 2**31, 5))


@pytest.mark.parametrize("arch", ONE_AND_OTHERS)
def test_kernels_compile_ahead_of_time(arch):
    pointers = {"p_indices": "*i64", "p_keys": "*i64", "p_numbers": "*fp64"}
    constants = {"BN": 1024}
    launches = [
        launch(triton_kernels, "key_kernel", arch, constants, **pointers),
        launch(triton_kernels, "uniform_kernel", arch, constants, **pointers, stream="i64"),
    ]
    assert_compiles(launches)
