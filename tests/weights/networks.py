"""Networks whose weights are told apart."""

import torch
from torch import Tensor

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder


def perturbed(network: torch.nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """Moves every tensor of a network, running statistics too, off its initial value; returns the state."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(0.001 * torch.rand(value.shape, generator=generator) if value.is_floating_point() else 5)
    return network.state_dict()


def small_resnet() -> torch.nn.Module:
    return build_encoder(EncoderConfig(width=0.125))


def assert_same(encoder: torch.nn.Module, weights: dict[str, Tensor]) -> None:
    own = encoder.state_dict()
    assert own
    assert all(torch.equal(value, weights[name]) for name, value in own.items())
