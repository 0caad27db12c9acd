"""The ResNets against torchvision's."""

import pytest
import torch
import torchvision

from sslfast.config import EncoderConfig
from sslfast.encoders import RESNETS, build_encoder


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_equals_torchvision_with_its_weights(name):
    original = torchvision.models.get_model(name)
    encoder = build_encoder(EncoderConfig(name=name))
    missing = encoder.load_state_dict(
        {key: value for key, value in original.state_dict().items() if not key.startswith("fc.")}
    )
    assert not missing.missing_keys
    original.fc = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(encoder.eval()(images), original.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize("name", RESNETS)
@pytest.mark.parametrize("width", [0.25, 2])
def test_width_scales_every_layer(name, width):
    plain, scaled = build_encoder(EncoderConfig(name=name)), build_encoder(EncoderConfig(name=name, width=width))
    assert scaled.feature_dim == width * plain.feature_dim
    for (key, before), after in zip(plain.state_dict().items(), scaled.state_dict().values(), strict=True):
        if before.ndim:
            assert after.shape[0] == width * before.shape[0], key


@pytest.mark.parametrize(("name", "last"), [("resnet18", "bn2"), ("resnet50", "bn3")])
def test_residual_branches_may_start_at_zero(name, last):
    plain, zero = (
        build_encoder(EncoderConfig(name=name, width=0.125, zero_init_residual=zero)).state_dict()
        for zero in (False, True)
    )
    scales = [key for key in plain if key.endswith(f".{last}.weight")]
    assert len(scales) == {"resnet18": 8, "resnet50": 16}[name]
    assert all(plain[key].eq(1).all() and zero[key].eq(0).all() for key in scales)


def test_cifar_stem_keeps_the_resolution():
    encoder = build_encoder(EncoderConfig(stem="cifar", width=0.25))
    sizes = []
    encoder.layer1.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.shape))
    assert encoder(torch.randn(2, 3, 32, 32)).shape == (2, encoder.feature_dim)
    assert sizes == [(2, 16, 32, 32)]


def test_features_are_the_means_of_the_dense_map():
    encoder = build_encoder(EncoderConfig(stem="cifar", width=0.25), channels=2).eval()
    images = torch.randn(2, 2, 32, 32)
    dense = encoder(images, dense=True)
    assert dense.shape == (2, encoder.feature_dim, 4, 4)
    torch.testing.assert_close(dense.mean((2, 3)), encoder(images))
