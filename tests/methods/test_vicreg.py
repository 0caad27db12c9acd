"""VICReg against a plain transcription of its paper's algorithm 1."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslfast.nn.vicreg import redundancy
from tests.methods.harness import assert_equals_transcription, build_method, tiny_batch


def build(**settings):
    return build_method("vicreg", **{"dim": 5, "hidden": 16, **settings})


def off_diagonal(matrix):
    return matrix[~torch.eye(len(matrix), dtype=torch.bool)]


def terms(method, data):
    """Computes the invariance, variance and covariance terms of Bardes et al. 2022, algorithm 1."""
    z_a, z_b = (method.expander(method.encoder(view)) for view in data.views)
    n, d = z_a.shape
    sim_loss = F.mse_loss(z_a, z_b)
    std_z_a, std_z_b = (torch.sqrt(z.var(dim=0) + 1e-4) for z in (z_a, z_b))
    std_loss = torch.mean(F.relu(1 - std_z_a)) + torch.mean(F.relu(1 - std_z_b))
    z_a, z_b = (z - z.mean(dim=0) for z in (z_a, z_b))
    cov_z_a, cov_z_b = (z.T @ z / (n - 1) for z in (z_a, z_b))
    cov_loss = off_diagonal(cov_z_a).pow(2).sum() / d + off_diagonal(cov_z_b).pow(2).sum() / d
    return sim_loss, std_loss, cov_loss


def vicreg(method, data):
    config = method.config
    sim_loss, std_loss, cov_loss = terms(method, data)
    return config.invariance * sim_loss + config.variance * std_loss + config.covariance * cov_loss


@pytest.mark.parametrize("settings", [{}, {"dim": 12}, {"invariance": 1.0, "variance": 2.0, "covariance": 3.0}])
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(), vicreg)


def test_the_terms_are_logged():
    method, data = build().double(), tiny_batch(dtype=torch.float64)
    _, values, _ = method.loss(data)
    expected = terms(method, data)
    for name, term in zip(("invariance", "variance", "covariance"), expected, strict=True):
        torch.testing.assert_close(values[name], term)


@pytest.mark.parametrize("shape", [(256, 16), (16, 256)])
def test_the_redundancy_is_exact_in_fp32_whichever_product_is_smaller(shape):
    z = 3 + torch.randn(shape, generator=torch.Generator().manual_seed(0))
    exact = off_diagonal(z.double().T.cov()).square().sum() / shape[1]
    torch.testing.assert_close(redundancy(z).double(), exact, rtol=1e-4, atol=1e-6)


def test_the_loss_of_bf16_embeddings_is_computed_in_fp32():
    method, data = build(dim=32), tiny_batch()
    with torch.autocast("cpu", torch.bfloat16):
        loss, values, _ = method.loss(data)
    assert {loss.dtype, *(value.dtype for value in values.values())} == {torch.float32}


def test_the_expander_is_that_of_the_code():
    expander = build().expander
    assert [type(layer) for layer in expander] == [*[nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2, nn.Linear]
    assert expander[-1].bias is None
