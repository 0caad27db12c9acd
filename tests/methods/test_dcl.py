"""DCL and DCLW against plain transcriptions of their paper's equations."""

import pytest
import torch
import torch.nn.functional as F

from sslfast.methods.dcl import positive_weights
from tests.methods.harness import assert_equals_transcription, build_method, tiny_batch


def build(**settings):
    return build_method("dcl", **{"dim": 8, "hidden": 16, **settings})


def dcl(method, data):
    """Computes equation 6 of Yeh et al. 2022 with the weights of equation 7, constants, pair by pair."""
    z, config = F.normalize(method.head(method.encoder(torch.cat(data.views))), dim=1), method.config
    views, n, losses = z.view(2, len(data.index), -1), len(data.index), []
    weights = torch.ones(n)
    if config.sigma is not None:
        exp = torch.exp((views[0] * views[1]).sum(1).detach() / config.sigma)
        weights = 2 - exp / exp.mean()
    for i in range(n):
        for k in range(2):
            anchor = views[k, i]
            others = [views[m, j] for m in range(2) for j in range(n) if j != i]
            u = sum(torch.exp(anchor @ other / config.temperature) for other in others)
            losses.append(-weights[i] * (anchor @ views[1 - k, i]) / config.temperature + torch.log(u))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5, "layers": 3}, {"sigma": 0.5}, {"sigma": 2.0}])
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(), dcl)


def test_a_weight_is_larger_where_the_pair_is_farther_apart():
    weights = positive_weights(torch.tensor([0.9, 0.1, -0.5]), 0.5)
    torch.testing.assert_close(weights.mean(), torch.tensor(1.0))
    assert weights[0] < weights[1] < weights[2] < 2


def test_dclw_draws_similar_pairs_together_too():
    """Through the weights, the gradient would part pairs of a similarity above sigma."""
    similarity = torch.tensor([0.9, 0.8, 0.7], requires_grad=True)
    (positive_weights(similarity.detach(), 0.5) * similarity).sum().backward()
    assert (similarity.grad > 0).all()
