"""The softmax over classes that are not trained, against PyTorch's cross-entropy."""

import pytest
import torch
import torch.nn.functional as F

from sslfast.methods.parts.prototypes import Prototypes, softmax_loss


def draw(count, dim=8, seed=0, dtype=torch.float32):
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype), dim=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [1.0, 0.2, 0.02])
def test_value_and_gradient_are_those_of_cross_entropy(temperature, dtype):
    query = draw(6, dtype=dtype).requires_grad_()
    other = query.detach().clone().requires_grad_()
    classes, target = draw(40, seed=1, dtype=dtype), torch.arange(6) * 5
    classes[5] = query[1].detach()  # a query that its own class is certain of
    loss = softmax_loss(query, classes, target, temperature=temperature)
    expected = F.cross_entropy(other @ classes.T / temperature, target, reduction="none")
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    weights = torch.arange(1, 7, dtype=dtype)
    (loss * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(query.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_one_class_costs_nothing():
    loss = softmax_loss(draw(3), draw(1, seed=1), torch.zeros(3, dtype=torch.int64), temperature=0.1)
    torch.testing.assert_close(loss, torch.zeros(3), rtol=0, atol=1e-6)


def test_prototypes_hold_several_clusterings():
    prototypes = Prototypes([3, 5], num_images=10, dim=8)
    clustered = torch.tensor([1, 2, 4, 7, 9])
    for n, k in enumerate((3, 5)):
        prototypes.replace(n, draw(k, seed=n), clustered, torch.arange(5) % k)
    assert prototypes.assignments[0].tolist() == [0, 0, 1, 0, 2, 0, 0, 0, 0, 1]
    query, index = draw(4, seed=9), torch.tensor([9, 1, 2, 4])
    losses = prototypes.losses(query, index, temperature=0.1)
    for n in range(2):
        logits = query @ draw((3, 5)[n], seed=n).T / 0.1
        expected = F.cross_entropy(logits, prototypes.assignments[n, index], reduction="none")
        torch.testing.assert_close(losses[n], expected, rtol=1e-4, atol=1e-5)
    assert not [*prototypes.parameters()]
