"""The log-partition against the matrix of similarities."""

import pytest
import torch
import torch.nn.functional as F

from sslfast.nn.partition import log_partition


def unit(count, dim=8):
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(0)), dim=1)


def of_matrix(z, num_views, temperature):
    image = torch.arange(len(z) // num_views).repeat(num_views)
    logits = (z @ z.T / temperature).masked_fill(image[:, None] == image, -torch.inf)
    return logits.logsumexp(dim=1)


@pytest.mark.parametrize("num_views", [1, 2, 3])
@pytest.mark.parametrize("temperature", [0.05, 0.25, 10.0])
def test_values_and_gradients_equal_those_of_the_matrix(num_views, temperature):
    z = unit(12).double().requires_grad_()
    expected, found = (
        of_matrix(z, num_views, temperature),
        log_partition(z, num_views=num_views, temperature=temperature),
    )
    torch.testing.assert_close(found, expected)
    weights = torch.arange(12.0)  # so that each has a gradient of its own
    wanted, got = (torch.autograd.grad((weights * values).sum(), z)[0] for values in (expected, found))
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("temperature", [0.02, 0.1])
@pytest.mark.parametrize("count", [16, 600])  # small and large: two implementations of the op
def test_it_is_accurate_in_fp32(count, temperature):
    z = unit(count)
    exact = of_matrix(z.double(), 2, temperature)
    torch.testing.assert_close(
        log_partition(z, num_views=2, temperature=temperature).double(), exact, rtol=1e-5, atol=1e-4
    )
