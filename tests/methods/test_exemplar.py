"""Exemplar: the classifier, exact and sampled, and the triplets, against their plain forms."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.errors import UsageError
from sslfast.methods.exemplar import Rows, semi_hard_triplets
from sslfast.views import surrogate, to_rgb
from tests.methods.harness import BATCH, IMAGES, build_method, tiny_batch


def build(**settings):
    return build_method("exemplar", **{"dim": 16, **settings})


def transformed(method, data, member):
    """Makes one member of each class, normalized anew."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (method.members.mean, method.members.std))
    rgb = to_rgb(data.views[0], method.members.mean, method.members.std)
    return (surrogate(rgb, data.key(view=member)) - mean) / std


@pytest.mark.parametrize("members", [1, 2])
def test_the_classifier_tells_the_image_among_all(members):
    method, data = build(members=members), tiny_batch(views=1)
    network = copy.deepcopy(method)
    x = torch.cat([transformed(method, data, member) for member in range(members)])
    logits = network.head(network.encoder(x)).relu() @ network.classes.weight.T
    target = data.index.repeat(members)
    expected = F.cross_entropy(logits, target)
    expected.backward()
    loss, metrics, _ = method.loss(data)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    assert logits.shape == (members * BATCH, IMAGES)
    assert metrics["accuracy"] == (logits.argmax(1) == target).float().mean()
    for ours, theirs in zip(method.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_the_sampled_classifier_tells_it_among_the_batch_and_a_few():
    method, data = build(sampled=5), tiny_batch(views=1)
    index = torch.tensor([9, 2, 40])
    draws = [method._candidates(index) for _ in range(2)]
    for candidates in draws:
        assert candidates[:3].tolist() == [9, 2, 40]
        assert len(set(candidates.tolist())) == 8
    assert not torch.equal(*draws)

    torch.manual_seed(1)
    candidates = method._candidates(data.index)
    embedding = method.head(method.encoder(transformed(method, data, 0))).relu()
    expected = F.cross_entropy(embedding @ method.classes.weight[candidates].T, torch.arange(BATCH))
    torch.manual_seed(1)
    loss, *_ = method.loss(data)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    touched = method.classes.weight.grad.abs().sum(1).nonzero().flatten()
    assert set(touched.tolist()) <= set(candidates.tolist())
    assert len(touched) > BATCH


def test_a_sample_of_more_than_there_are_is_all():
    assert sorted(build(sampled=1000)._candidates(torch.arange(3)).tolist()) == list(range(IMAGES))


def test_the_gradient_of_the_classes_takes_the_place_of_that_before():
    weight, gradient = torch.randn(6, 2, requires_grad=True), torch.full((6, 2), torch.nan)
    for index in (torch.tensor([4, 1]), torch.tensor([2, 5])):
        weight.grad = None
        rows = Rows.apply(weight, index, gradient)
        assert torch.equal(rows, weight[index])
        rows.square().sum().backward()
        assert torch.equal(weight.grad, torch.zeros(6, 2).index_copy(0, index, 2 * weight.detach()[index]))
        assert weight.grad.data_ptr() == gradient.data_ptr()
        weight.grad.fill_(torch.nan)  # as a clipped gradient of a step that is skipped may be


def plain_triplets(z, image, margin):
    """Computes the loss pair by pair, as the paper of FaceNet puts it."""
    terms, nearer = [], []
    for a in range(len(z)):
        distance = (z[a] - z).square().sum(1)
        others = [n for n in range(len(z)) if image[n] != image[a]]
        for p in range(len(z)):
            if p == a or image[p] != image[a]:
                continue
            beyond = [n for n in others if distance[n] > distance[p]]
            n = min(beyond, key=lambda i: distance[i]) if beyond else max(others, key=lambda i: distance[i])
            terms.append((distance[p] - distance[n] + margin).clamp(min=0))
            nearer.append(all(distance[p] < distance[n] for n in others))
    return torch.stack(terms).mean(), sum(nearer) / len(nearer)


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("spread", [0.3, 3.0])  # members near to each other, and far: then some have none beyond
def test_triplets_equal_their_definition(members, spread):
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(4, 3, generator=generator, dtype=torch.float64).repeat(members, 1)
    x = centers + spread * torch.randn(4 * members, 3, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    z = F.normalize(x, dim=1)
    expected, accuracy = plain_triplets(z, torch.arange(4).repeat(members).tolist(), 0.5)
    loss, metrics = semi_hard_triplets(z, members, 0.5)
    torch.testing.assert_close(loss, expected)
    assert metrics["accuracy"].item() == pytest.approx(accuracy)
    gradient, plain = (torch.autograd.grad(value, x, retain_graph=True)[0] for value in (loss, expected))
    torch.testing.assert_close(gradient, plain)


def test_a_pair_without_a_farther_negative_takes_the_farthest():
    z = F.normalize(torch.tensor([[1.0, 0], [0.9, 0.5], [-1.0, 0], [0.9, -0.5]]), dim=1)  # images 0, 1, 0, 1
    distance = (z[:, None] - z).square().sum(2)
    assert distance[0, 2] > distance[0, [1, 3]].max()
    loss, _ = semi_hard_triplets(z, 2, 0.5)
    expected, _ = plain_triplets(z, [0, 1, 0, 1], 0.5)
    torch.testing.assert_close(loss, expected)


def test_the_triplet_form_embeds_members_and_has_no_classes():
    method, data = build(form="triplet", members=3, margin=0.2), tiny_batch(views=1)
    assert not hasattr(method, "classes")
    network = copy.deepcopy(method)
    x = torch.cat([transformed(method, data, member) for member in range(3)])
    z = F.normalize(network.head(network.encoder(x)), dim=1)
    expected, _ = plain_triplets(z, data.index.repeat(3).tolist(), 0.2)
    expected.backward()
    loss, *_ = method.loss(data)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(method.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5)


def test_triplets_of_one_member_are_refused():
    with pytest.raises(UsageError, match=r"method.members=1: expected at least 2 for method.form=triplet"):
        build(form="triplet")


def test_members_are_made_by_one_graph():
    """Which torch.compile can fuse."""
    method, data = build(members=2), tiny_batch(views=1)
    graph = torch.compile(method.members, fullgraph=True, backend="eager")
    draws = torch.rand(2, BATCH, 14, generator=torch.Generator().manual_seed(0))
    expected = method.members(data.views[0], draws)
    made = graph(data.views[0], draws)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-3)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert method.members in method.compiled()
