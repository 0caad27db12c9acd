"""Tensors for the tests of ema_update_, and what becomes of them."""

import torch

from tests.kernels.accuracy import assert_accurate


def randn(*shape, seed=0, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)


def copies(tensors):
    """Copies that keep strides."""
    return [tensor.clone() for tensor in tensors]


def assert_averaged(got, targets, sources, momentum):
    """Asserts that `got` is what `targets` should have become."""
    momentum = float(momentum)
    for out, k, q in zip(got, targets, sources, strict=True):
        assert out.dtype == k.dtype
        truth = momentum * k.double() + (1 - momentum) * q.double()
        assert_accurate(out, momentum * k + (1 - momentum) * q.to(k.dtype), truth, k.dtype)
