"""SimCLR and SupCon against plain transcriptions of their papers' equations."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.utils import save_image

from sslfast.commands.pretrain import pretrain
from sslfast.data import Source
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.load import load_recipe
from tests.methods.harness import assert_equals_transcription, build_method, tiny_batch


def build(name="simclr", **settings):
    return build_method(name, **{"dim": 8, "hidden": 16, **settings})


def embeddings(method, data):
    """Embeds both views in one batch, as in the code of both papers: rows i and i + N are of image i."""
    return F.normalize(method.head(method.encoder(torch.cat(data.views))), dim=1)


def simclr(method, data):
    """Computes equation 1 and algorithm 1 of Chen et al. 2020, pair by pair."""
    z, n = embeddings(method, data), len(data.index)
    exp = (z @ z.T / method.config.temperature).exp()
    losses = []
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        losses.append(-(exp[i, j] / (exp[i].sum() - exp[i, i])).log())
    return torch.stack(losses).mean()


def supcon(method, data):
    """Computes equation 2 of Khosla et al. 2020, anchor by anchor, with the scale of the authors' code."""
    z, labels, config = embeddings(method, data), data.label.repeat(2), method.config
    logits = z @ z.T / config.temperature
    losses = []
    for i in range(len(z)):
        others = torch.arange(len(z)) != i
        log_p = logits[i] - logits[i][others].logsumexp(0)
        losses.append(-log_p[others & (labels == labels[i])].mean())
    return config.temperature / config.base_temperature * torch.stack(losses).mean()


def joint(method, data):
    """Adds the cross-entropy of a linear layer on the features of all views to SupCon's loss."""
    features = method.encoder(torch.cat(data.views))
    log_p = (features @ method.classifier.weight.T + method.classifier.bias).log_softmax(1)
    cross_entropy = -log_p[torch.arange(len(features)), data.label.repeat(2)].mean()
    return supcon(method, data) + method.config.cross_entropy * cross_entropy


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5}, {"layers": 3}, {"layers": 1, "norm": False}])
def test_simclr_equals_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(), simclr)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5, "base_temperature": 0.1}, {"norm": True}])
def test_supcon_equals_the_transcription(settings):
    assert_equals_transcription(build("supcon", **settings), tiny_batch(), supcon)


@pytest.mark.parametrize("settings", [{"cross_entropy": 1.0}, {"cross_entropy": 0.3, "temperature": 0.5}], ids=str)
def test_supcon_joint_with_cross_entropy_equals_the_transcription(settings):
    assert_equals_transcription(build("supcon", num_classes=4, **settings), tiny_batch(), joint)


def test_supcon_alone_has_no_classifier():
    assert not any("classifier" in name for name in build("supcon").state_dict())
    with pytest.raises(UsageError, match="num_classes=4: is that of the cross-entropy, whose weight is 0"):
        build("supcon", num_classes=4)


def test_the_classes_of_a_joint_supcon_are_those_of_the_images():
    images, classes = np.zeros((3, 8, 8, 3), dtype=np.uint8), ["cat", "dog", "ship"]
    source, method = Source("pets", images=images, labels=np.arange(3), classes=classes), METHODS["supcon"]
    recipe = load_recipe("supcon_joint_cifar10")
    told = method.of_images(recipe, source)
    assert (recipe.method.cross_entropy, told.method.num_classes) == (1, 3)
    alone = load_recipe("supcon_cifar10")
    assert method.of_images(alone, source) == alone
    expected = 0.1 / 0.07 * math.log(255) + math.log(3)
    assert method.chance_loss(told, 50_000) == pytest.approx(expected)


def test_supcon_of_images_with_labels_of_their_own_is_simclr():
    data = tiny_batch(classes=8)
    settings = {"temperature": 0.2, "norm": True}
    supervised, *_ = build("supcon", base_temperature=0.2, **settings).loss(data)
    torch.testing.assert_close(supervised, build(**settings).loss(data)[0])


def test_supcon_learns_from_the_labels():
    method, data = build("supcon"), tiny_batch()
    other = dataclasses.replace(data, label=data.index // 2)
    renamed = dataclasses.replace(data, label=9 - data.label)
    assert not torch.allclose(method.loss(data)[0], method.loss(other)[0])
    torch.testing.assert_close(method.loss(renamed)[0], method.loss(data)[0])


def test_supcon_refuses_images_without_labels(tmp_path):
    for i in range(4):
        save_image(torch.full((3, 8, 8), i / 4), tmp_path / f"{i}.png")
    recipe = load_recipe("supcon_cifar10", [f"data.source={tmp_path}", "data.batch_size=2"])
    with pytest.raises(UsageError, match="supcon learns from labels, and these images have none"):
        pretrain(recipe, tmp_path / "run")


def test_accuracy_is_how_often_the_other_view_comes_first():
    method, data = build(), tiny_batch()
    z = embeddings(method, data).detach()
    similarity = (z @ z.T).fill_diagonal_(-2)
    first = similarity.argmax(1) == torch.arange(16).roll(8)
    _, metrics, _ = method.loss(data)
    assert metrics["accuracy"] == first.float().mean()


def shapes(head):
    return [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, nn.Linear)]


def test_the_heads_are_those_of_the_papers():
    features = build().encoder.feature_dim
    v1, v2 = build(), build(layers=3)
    assert shapes(v1.head) == [(features, 16), (16, 8)]
    assert shapes(v2.head) == [(features, 16), (16, 16), (16, 8)]
    last = v2.head[-1]  # normalized without shift
    assert isinstance(last, nn.BatchNorm1d)
    assert last.weight.requires_grad
    assert not last.bias.requires_grad
    assert last.bias.count_nonzero() == 0
    assert not any(isinstance(layer, nn.BatchNorm1d) for layer in build("supcon").head)
