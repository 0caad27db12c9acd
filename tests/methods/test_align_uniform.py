"""Alignment and uniformity against plain transcriptions of the paper's section 4 and of its appendix's code."""

import pytest
import torch
import torch.nn.functional as F

from sslfast.methods.parts.hypersphere import alignment, uniformity
from tests.methods.harness import assert_equals_transcription, build_method, tiny_batch


def build(**settings):
    return build_method("align_uniform", **{"dim": 8, "hidden": 16, **settings})


def align_uniform(method, data):
    """Computes the loss of Wang and Isola 2020, section 4.1, pair by pair."""
    config = method.config
    x, y = F.normalize(method.head(method.encoder(torch.cat(data.views))), dim=1).chunk(2)

    def uniform(z):
        pairs = [(z[i] - z[j]).square().sum() for i in range(len(z)) for j in range(len(z)) if i != j]
        return torch.log(torch.stack([torch.exp(-config.t * pair) for pair in pairs]).mean())

    align = ((x - y).square().sum(1) ** (config.alpha / 2)).mean()
    return config.align_weight * align + config.uniform_weight * (uniform(x) + uniform(y)) / 2


@pytest.mark.parametrize(
    "settings", [{}, {"alpha": 1.0, "t": 3.0}, {"align_weight": 3.0}, {"uniform_weight": 0.5, "t": 0.1}]
)
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(), align_uniform)


def test_both_are_zero_for_one_direction():
    x = F.normalize(torch.ones(6, 4), dim=1)
    torch.testing.assert_close(alignment(x, x), torch.tensor(0.0))
    torch.testing.assert_close(uniformity(x), torch.tensor(0.0), rtol=0, atol=1e-5)


def test_the_alignment_of_equal_views_has_a_gradient():
    x = F.normalize(torch.ones(6, 4), dim=1).requires_grad_()
    alignment(x, x.detach(), alpha=1.0).backward()
    assert x.grad.isfinite().all()


def test_uniformity_of_opposite_pairs_is_that_of_their_distances():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(uniformity(x, t=0.5), torch.tensor(-0.5 * 4))


def test_uniformity_of_normal_directions_is_nearly_the_least():
    """In many dimensions nearly all pairs are at right angles, at a squared distance of 2."""
    x = F.normalize(torch.randn(500, 256, generator=torch.Generator().manual_seed(0)), dim=1)
    assert -4 < uniformity(x) < -3.9


def test_the_two_are_logged():
    method, data = build(), tiny_batch()
    loss, values, _ = method.loss(data)
    torch.testing.assert_close(values["alignment"] + values["uniformity"], loss.detach())
