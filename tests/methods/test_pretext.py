"""Rotation, jigsaw and context prediction: their labels by geometry, their losses against the papers' formulas."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from sslfast import views
from sslfast.config import DataConfig, EncoderConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.methods.parts.puzzle import classified
from sslfast.views import Key
from tests.methods.harness import TINY, build_method, tiny_batch

SMALL = {"rotation": {}, "jigsaw": {"classes": 20}, "context_prediction": {}}
KEY = Key(0, 0, torch.arange(8))


def build(name, *, side=32, encoder=TINY, **settings):
    puzzle = {} if name == "rotation" else {"trunk": 8, "hidden": (16,)}
    data = DataConfig(size=side, batch_size=8, views=[ViewConfig()])
    return build_method(name, data=data, encoder=encoder, **{**puzzle, **SMALL[name], **settings})


def batch(side=32):
    return tiny_batch(views=1, side=side)


def places(count=8, side=64):
    """Makes views whose first two channels hold each pixel's row and column."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack((rows, columns, torch.zeros(side, side))).float().expand(count, -1, -1, -1)


def assert_equal_with_gradients(method, loss, transcribed, expected):
    expected.backward()
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(method.parameters(), transcribed.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("angles", [2, 4])
def test_rotation_is_the_papers_equations_2_and_3(angles):
    method = build("rotation", angles=angles).double()
    network, view = copy.deepcopy(method), batch().views[0].double()
    data = dataclasses.replace(batch(), views=(view,))
    turned = [torch.rot90(view, quarters, (2, 3)) for quarters in range(0, 4, 4 // angles)]
    logits = network.head(network.encoder(torch.cat(turned))).chunk(angles)
    expected = -sum(F.log_softmax(part, dim=1)[:, y].mean() for y, part in enumerate(logits)) / angles
    assert_equal_with_gradients(method, method.loss(data)[0], network, expected)


def answered(method, patches, answers):
    """Computes the mean cross-entropy, sample by sample: in evaluation mode, where none knows of another."""
    total = 0
    for sample, answer in zip(patches, answers.tolist(), strict=True):
        features = method.trunk(method.encoder(sample)).flatten()
        total = total - F.log_softmax(method.head(features[None]), dim=1)[0, answer]
    return total / len(patches)


@pytest.mark.parametrize("normalize", [True, False])
def test_jigsaw_tells_the_permutation_of_its_cells(normalize):
    method, data = build("jigsaw", normalize=normalize).eval(), batch()
    network = copy.deepcopy(method)
    cells = views.jigsaw_cells(data.views[0], KEY)
    if normalize:
        cells = views.normalize_patches(cells)
    shown, answers = method.puzzle(data.views[0], KEY)
    permutations = views.permutation_set(20)
    assert len(set(answers.tolist())) > 1
    for sample in range(8):
        torch.testing.assert_close(shown[sample], cells[sample, permutations[answers[sample]]], rtol=0, atol=0)
    assert_equal_with_gradients(method, method.loss(data)[0], network, answered(network, shown, answers))


def test_every_permutation_is_asked_for():
    method = build("jigsaw", classes=4)
    _, answers = method.puzzle(torch.zeros(200, 3, 32, 32), Key(0, 0, torch.arange(200)))
    assert sorted(set(answers.tolist())) == [0, 1, 2, 3]


def test_context_prediction_tells_where_the_neighbor_lies():
    method = build("context_prediction", side=64, jitter=0, gap=2, patch=10, drop_colors=0.0)
    pairs, answers = method.puzzle(places(), KEY)
    away = (pairs[:, 1] - pairs[:, 0])[:, :2].mean((2, 3))
    reading_order = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    expected = torch.tensor([reading_order[answer] for answer in answers.tolist()]) * 12.0
    torch.testing.assert_close(away, expected)


@pytest.mark.parametrize(("drop", "project"), [(0.0, False), (1.0, False), (0.0, True)])
def test_context_predictions_loss(drop, project):
    method, data = build("context_prediction", drop_colors=drop, project_colors=project).eval(), batch()
    network = copy.deepcopy(method)
    view = data.views[0]
    if project:
        view = views.project_colors(view, method.data.mean, method.data.std)
    pairs, answers = views.context_pair(view, KEY, patch=7)
    if drop:
        pairs = views.drop_colors(pairs, KEY)
    assert_equal_with_gradients(method, method.loss(data)[0], network, answered(network, pairs, answers))


def test_context_prediction_takes_the_papers_proportions():
    method = build("context_prediction", side=398)
    pairs, _ = method.puzzle(places(2, 398), Key(0, 0, torch.arange(2)))
    assert pairs.shape == (2, 2, 3, 96, 96)


@pytest.mark.parametrize("name", SMALL)
def test_the_order_of_the_batch_does_not_matter(name):
    method, data = build(name), batch()
    order = torch.tensor([3, 1, 4, 0, 5, 7, 2, 6])
    shuffled = dataclasses.replace(data, views=(data.views[0][order],), index=data.index[order])
    torch.testing.assert_close(method.loss(shuffled)[0], method.loss(data)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["jigsaw", "context_prediction"])
def test_every_epoch_asks_anew(name):
    method, view = build(name), batch().views[0]
    (first, answers), (again, same), (later, others) = (
        method.puzzle(view, Key(0, epoch, KEY.index)) for epoch in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert torch.equal(answers, same)
    assert not torch.equal(first, later)
    assert not torch.equal(answers, others)


def test_accuracy_is_how_often_the_right_class_comes_first():
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]], requires_grad=True)
    loss, metrics = classified(logits, torch.tensor([1, 0, 0]))
    assert metrics["accuracy"] == torch.tensor(2 / 3)
    assert not metrics["accuracy"].requires_grad
    torch.testing.assert_close(loss, F.cross_entropy(logits, torch.tensor([1, 0, 0])))


def test_the_head_may_be_normalized():
    norms = [isinstance(m, torch.nn.BatchNorm1d) for m in build("jigsaw", head_norm=True).modules()]
    assert sum(norms) == 2  # of the trunk and of the hidden layer
    assert not any(isinstance(m, torch.nn.BatchNorm1d) for m in build("jigsaw").modules())


@pytest.mark.parametrize("head_norm", [False, True])
def test_patches_are_joined_after_a_rectified_layer(head_norm):
    """fc6 of both papers' networks."""
    method = build("jigsaw", head_norm=head_norm)
    features = method.trunk(torch.randn(32, method.encoder.feature_dim))
    assert features.shape == (32, 8)
    assert features.min() == 0
    assert method.head[0].in_features == 9 * 8


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("jigsaw", {"patch": 11}, "jigsaw, views of 32 pixels: .* expected a patch of 1 to 10 pixels.*patch=11"),
        ("jigsaw", {"side": 2}, "expected 1 to 2 cells a side of images of 2 pixels, got cells=3"),
        (
            "jigsaw",
            {"patch": 4},
            "patches: .* expected more than 4 pixels .* one of 8 x 8, got 4 x 4; take a larger data.size",
        ),
        ("jigsaw", {"encoder": EncoderConfig()}, "more than 16 pixels.* got 8 x 8; take encoder.stem=cifar"),
        ("context_prediction", {"patch": 10, "gap": 2}, "need 36 pixels, got images of 32"),
        ("context_prediction", {"patch": 40}, "expected a patch of 1 to 32 pixels"),
        ("context_prediction", {"patch": 4}, "expected more than 4 pixels"),
    ],
)
def test_patches_that_cannot_be_are_refused(name, settings, message):
    with pytest.raises(UsageError, match=message):
        build(name, **settings)
