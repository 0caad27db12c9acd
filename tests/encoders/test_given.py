"""A module of one's own as an encoder: what it makes, and how it is initialized anew."""

import pytest
import torch
from torch import nn

from sslfast.config import DataConfig, EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.encoders.given import named_module
from sslfast.errors import UsageError
from sslfast.run.backbone import initial_name, random_encoder


class Tokens(nn.Module):
    """A parameter of its own, which no `reset_parameters` draws, and a batch norm."""

    def __init__(self):
        super().__init__()
        self.position, self.gain = nn.Parameter(torch.zeros(4, 3)), nn.Parameter(torch.full((4,), 2.0))
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(x).mean((2, 3)) @ self.position.mT * self.gain


def test_the_module_is_copied_with_its_weights():
    module = nn.Conv2d(3, 5, 3).eval()
    with named_module(module) as name:
        encoder = build_encoder(EncoderConfig(name=name), side=8)
    assert name.startswith("python:Conv2d-")
    assert (encoder.feature_dim, encoder.training, module.training) == (5, True, False)
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(encoder(x, dense=True), module(x))
    torch.testing.assert_close(encoder(x), module(x).mean((2, 3)))
    nn.init.zeros_(module.weight)
    assert encoder.module.weight.any()


def test_random_weights_are_drawn_by_the_layers_and_for_those_without_a_rule():
    module = Tokens()
    module(torch.randn(8, 3, 4, 4))  # moves the statistics
    with named_module(module) as name:
        config = EncoderConfig(name=name)
        one, same, other = (random_encoder(config, DataConfig(size=4), seed).module for seed in (1, 1, 2))
    assert torch.equal(one.position, same.position)
    assert not torch.equal(one.position, other.position)
    assert 0.005 < one.position.std() < 0.05
    assert torch.equal(one.gain, module.gain)
    assert not one.norm.running_mean.any()
    assert initial_name(config) == "initial weights"


def test_features_alone_have_no_map():
    with named_module(nn.Sequential(nn.Flatten(), nn.Linear(12, 2))) as name:
        encoder = build_encoder(EncoderConfig(name=name), side=2)
    assert encoder.feature_dim == 2
    with pytest.raises(UsageError, match="makes no map of features"):
        encoder(torch.zeros(1, 3, 2, 2), dense=True)


def test_another_architecture_has_another_name():
    with named_module(nn.Conv2d(3, 5, 3)) as one, named_module(nn.Conv2d(3, 6, 3)) as other:
        assert one != other
