"""Comparison of two forms of one loss, with their gradients."""

import torch
import torch.nn.functional as F


def embeddings(*shape, seed=0, count=2):
    """Draws tensors with rows of various lengths, as a projection head gives them."""
    generator = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(shape, generator=generator) for _ in range(count)]


def normalized(*shape, seed=0, count=2):
    return [F.normalize(tensor, dim=1) for tensor in embeddings(*shape, seed=seed, count=count)]


def value_and_gradients(loss, tensors):
    """Computes loss(*tensors), and the gradients that one backward pass leaves in the tensors."""
    tensors = [tensor.detach().clone().requires_grad_() for tensor in tensors]
    value = loss(*tensors)
    value.sum().backward()
    return value.detach(), [torch.zeros_like(tensor) if tensor.grad is None else tensor.grad for tensor in tensors]


def assert_same(ours, theirs, tensors):
    """Asserts that both losses give the same value, of one shape, and the same gradients, to fp32's rounding."""
    value, gradients = value_and_gradients(ours, tensors)
    expected, expected_gradients = value_and_gradients(theirs, tensors)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
    for gradient, wanted in zip(gradients, expected_gradients, strict=True):
        scale = wanted.abs().max().item()
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4 * scale + 1e-8)
