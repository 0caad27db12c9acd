"""NNCLR against a plain transcription of its paper's algorithm 1."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslfast.errors import UsageError
from tests.methods.harness import KEEP, SKIP, assert_equals_transcription, build_method, tiny_batch


def build(**settings):
    small = {"dim": 8, "hidden": 16, "predictor_hidden": 16, "queue_size": 32}
    return build_method("nnclr", **{**small, **settings})


def nnclr(method, data, first=None):
    """Runs algorithm 1 of Dwibedi et al. 2021."""
    z1, z2 = (method.projector(method.encoder(view)) for view in data.views)
    p1, p2 = method.predictor(z1), method.predictor(z2)
    queue = method.queue.keys  # of length 1

    def neighbor(z):
        return queue[(F.normalize(z, dim=1) @ queue.T).argmax(1)].detach()

    def contrast(nn, p):
        logits = nn @ F.normalize(p, dim=1).T / method.config.temperature
        if first is not None:
            first.append(logits.argmax(1) == torch.arange(len(p)))
        return F.cross_entropy(logits, torch.arange(len(p)))

    return contrast(neighbor(z1), p2) / 2 + contrast(neighbor(z2), p1) / 2


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5, "layers": 2}])
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(), nnclr)


def test_accuracy_is_how_often_the_own_prediction_comes_first():
    method, data, first = build(), tiny_batch(), []
    nnclr(copy.deepcopy(method), data, first)
    _, metrics, _ = method.loss(data)
    assert metrics["accuracy"] == torch.cat(first).float().mean()


def test_the_first_views_embeddings_join_the_queue_after_the_look_ups():
    method, data = build(), tiny_batch()
    z1 = F.normalize(copy.deepcopy(method).projector(copy.deepcopy(method.encoder)(data.views[0])), dim=1)
    old = method.queue.keys.clone()
    *_, kept = method.loss(data)
    torch.testing.assert_close(method.queue.keys, old, rtol=0, atol=0)
    method.after_step(kept, 0, 1, SKIP)
    torch.testing.assert_close(method.queue.keys, old, rtol=0, atol=0)
    method.after_step(kept, 0, 1, KEEP)
    torch.testing.assert_close(method.queue.keys[:8], z1)
    torch.testing.assert_close(method.queue.keys[8:], old[8:], rtol=0, atol=0)


def test_an_embedding_finds_itself_in_the_queue_a_step_later():
    method, data = build(temperature=0.01), tiny_batch()
    *_, kept = method.loss(data)
    method.after_step(kept, 0, 1, KEEP)
    z1 = method.queue.keys[:8]
    method.eval()  # so that predictions are a function of the embedding alone
    method.projector = nn.Identity()
    method.encoder = nn.Identity()
    method.predictor = nn.Identity()
    loss, metrics = method._one_way(z1, z1)
    assert (metrics == 0).all()
    assert loss < 0.1


def test_heads_are_normalized_throughout_but_for_the_prediction():
    method = build()
    block = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(layer) for layer in method.projector] == [*block, *block, nn.Linear, nn.BatchNorm1d]
    assert [type(layer) for layer in method.predictor] == [*block, nn.Linear]


def test_the_queue_holds_an_eighth_of_the_images_by_default():
    assert build(queue_size=None).queue.size == 8


def test_a_queue_that_batches_do_not_fill_is_refused():
    with pytest.raises(UsageError, match=r"queue_size=20: expected a multiple of the 8 keys of a step; take 24"):
        build(queue_size=20)
