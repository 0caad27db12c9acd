"""Tensors for the tests of ema_update_."""

import torch


def randn(*shape, seed=0, dtype=torch.float32, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)


def copies(tensors):
    """Copies that keep strides."""
    return [tensor.clone() for tensor in tensors]
