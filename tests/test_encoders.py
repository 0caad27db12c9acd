"""The backbones."""

import pytest
import torch
import torchvision

from sslfast.config import EncoderConfig
from sslfast.encoders import RESNETS, SplitBatchNorm2d, build_encoder
from sslfast.errors import UsageError


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


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="encoder.name: expected one of resnet18.*got 'resnet19'"):
        build_encoder(EncoderConfig(name="resnet19"))


class TestSplitBatchNorm:
    def test_normalises_each_part_by_itself(self):
        norm = SplitBatchNorm2d(3, splits=4)
        images = torch.randn(8, 3, 5, 5) * torch.arange(1, 9).view(8, 1, 1, 1)
        parts = [torch.nn.BatchNorm2d(3)(part) for part in images.chunk(4)]
        torch.testing.assert_close(norm(images), torch.cat(parts))

    def test_running_statistics_take_one_step_of_momentum_a_batch(self):
        norm = SplitBatchNorm2d(1, splits=4)
        norm(torch.full((8, 1, 2, 2), 5.0))
        torch.testing.assert_close(norm.running_mean, torch.tensor([0.1 * 5.0]))

    def test_equals_batch_norm_in_evaluation(self):
        norm, plain = SplitBatchNorm2d(3, splits=4), torch.nn.BatchNorm2d(3)
        norm(torch.randn(8, 3, 5, 5))
        plain.load_state_dict(norm.state_dict())
        images = torch.randn(5, 3, 4, 4)
        torch.testing.assert_close(norm.eval()(images), plain.eval()(images), rtol=0, atol=0)

    def test_refuses_a_batch_that_does_not_divide(self):
        with pytest.raises(UsageError, match="divisible by encoder.norm_splits=4, got 6"):
            SplitBatchNorm2d(3, splits=4)(torch.randn(6, 3, 2, 2))
