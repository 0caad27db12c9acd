"""Barlow Twins against a plain transcription of its paper's algorithm 1."""

import pytest
import torch
from torch import nn

from sslfast.optim.optimizers import parameter_groups
from sslfast.recipes.load import load_recipe
from tests.methods.harness import assert_equals_transcription, build_method, tiny_batch


def build(**settings):
    return build_method("barlow_twins", **{"dim": 8, "hidden": 16, **settings})


def barlow_twins(method, data):
    """Runs algorithm 1 of Zbontar et al. 2021; standard deviations as of batch normalization, as in their code."""
    z_a, z_b = (method.projector(method.encoder(view)) for view in data.views)
    n, d = z_a.shape
    z_a, z_b = ((z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt() for z in (z_a, z_b))
    c = z_a.T @ z_b / n
    c_diff = (c - torch.eye(d)).square()
    weights = torch.full((d, d), method.config.lambd).fill_diagonal_(1)
    return (c_diff * weights).sum()


@pytest.mark.parametrize("settings", [{}, {"lambd": 0.5, "layers": 2}, {"lambd": 0.0}, {"dim": 3}])
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(), barlow_twins)


def test_the_projector_is_that_of_the_paper():
    kinds = [type(layer) for layer in build().projector]
    assert kinds == [*[nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2, nn.Linear]
    assert all(layer.bias is None for layer in build().projector if isinstance(layer, nn.Linear))


def test_biases_and_norms_have_their_own_rate_and_no_decay_in_the_papers_recipe():
    groups = parameter_groups(build().named_parameters(), load_recipe("barlow_twins_imagenet").optim)
    assert len(groups) == 2
    for group in groups:
        small = {p.ndim <= 1 for p in group["params"]}
        assert small in ({True}, {False})
        expected = (0.0, False, 0.0048 / 0.2) if True in small else (1.5e-6, True, 1.0)
        assert (group["weight_decay"], group["adapt"], group["lr_scale"]) == expected
