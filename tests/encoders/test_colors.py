"""An encoder for each part of a color space, as one encoder of RGB views."""

import pytest
import torch

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.views import split_lab, split_ydbdr

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


def build(**settings):
    config = EncoderConfig(stem="cifar", width=0.25, **settings)
    return build_encoder(config, mean=MEAN, std=STD).eval()


@pytest.mark.parametrize(("colors", "split"), [("lab", split_lab), ("ydbdr", split_ydbdr)])
@pytest.mark.parametrize("parts", [2, 3])
def test_features_are_those_of_the_parts_side_by_side(colors, split, parts):
    encoder = build(colors=colors, color_parts=parts)
    rgb = torch.rand(2, 3, 16, 16)
    views = (rgb - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    luminance, chrominance = split(rgb)
    inputs = (luminance, chrominance) if parts == 2 else (luminance, chrominance[:, :1], chrominance[:, 1:])
    expected = torch.cat([part(x) for part, x in zip(encoder.parts, inputs, strict=True)], dim=1)
    torch.testing.assert_close(encoder(views), expected, rtol=1e-4, atol=1e-5)
    assert encoder.feature_dim == expected.shape[1] == sum(encoder.feature_dims)


def test_two_halves_are_as_wide_as_one_encoder():
    assert build(colors="lab").feature_dim == build().feature_dim


def test_features_are_the_means_of_the_dense_map():
    encoder, views = build(colors="lab"), torch.randn(2, 3, 16, 16)
    dense = encoder(views, dense=True)
    assert dense.shape == (2, encoder.feature_dim, 2, 2)
    torch.testing.assert_close(dense.mean((2, 3)), encoder(views))


def test_its_weights_carry_the_normalization():
    encoder = build(colors="lab")
    twin = build_encoder(EncoderConfig(stem="cifar", width=0.25, colors="lab"))
    twin.load_state_dict(encoder.state_dict())
    views = torch.randn(2, 3, 16, 16)
    assert torch.equal(twin.eval()(views), encoder(views))
