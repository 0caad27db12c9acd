"""Models of timm as encoders: those that have a map, tokens, and neither."""

import sys

import pytest
import torch
from torch import nn

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError


def build(name, **settings):
    pytest.importorskip("timm")
    torch.manual_seed(0)
    return build_encoder(EncoderConfig(name=f"timm/{name}", **settings)).eval()


def test_without_timm_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r'timm/resnet18 needs timm: pip install "sslfast\[timm\]"'):
        build_encoder(EncoderConfig(name="timm/resnet18"))


def test_a_resnet_is_ours():
    """Names and arithmetic are the same, so that weights move both ways."""
    theirs, ours = build("resnet18"), build_encoder(EncoderConfig(name="resnet18")).eval()
    theirs.model.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for dense in (False, True):
        torch.testing.assert_close(theirs(images, dense=dense), ours(images, dense=dense))


@pytest.mark.parametrize("side", [160, 64])
def test_tokens_become_a_map(side):
    """Of images of another size than the model's own, too: positions are interpolated."""
    encoder, images = build("test_vit"), torch.randn(2, 3, side, side)
    tokens = encoder.model.forward_features(images)
    dense = encoder(images, dense=True)
    assert dense.shape == (2, 64, side // 16, side // 16)
    torch.testing.assert_close(dense[:, :, 1, 2], tokens[:, 1 + side // 16 + 2], rtol=0, atol=0)
    torch.testing.assert_close(encoder(images), tokens[:, 0], rtol=0, atol=0)


def test_channels_that_come_last_are_moved():
    encoder = build("swin_tiny_patch4_window7_224")
    images = torch.randn(1, 3, 224, 224)
    dense = encoder(images, dense=True)
    assert dense.shape == (1, 768, 7, 7)
    torch.testing.assert_close(dense.mean((2, 3)), encoder(images))


def test_images_of_another_size_than_the_only_one_are_refused():
    encoder = build("mixer_s32_224")
    with pytest.raises(UsageError, match="timm/mixer_s32.*takes images of 224 pixels only, got 64"):
        encoder(torch.randn(1, 3, 64, 64))


def test_a_model_without_a_map_of_its_features_is_refused_where_one_is_needed():
    encoder = build("mobilenetv3_small_050")  # a layer after pooling makes its features
    assert encoder(torch.randn(1, 3, 32, 32)).shape == (1, encoder.feature_dim)
    with pytest.raises(UsageError, match="timm/mobilenetv3_small_050: has no map of its features"):
        encoder(torch.randn(1, 3, 32, 32), dense=True)


def test_batch_norm_is_synchronized_with_its_activation():
    plain, sync = build("test_efficientnet"), build("test_efficientnet", norm="sync")
    norms = [m for m in sync.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(sync(images), plain(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet1", {}, "timm/resnet1: timm has no such model"),
        ("resnet18.a1_in1k", {}, "timm has no such model"),  # with a tag of pre-trained weights
        ("resnet18", {"width": 0.5}, "encoder.width=1 and .*got width=0.5 and norm=batch"),
        ("resnet18", {"norm": "split"}, "encoder.norm=batch or sync, .*got width=1 and norm=split"),
    ],
)
def test_what_timm_lacks_is_refused(name, settings, message):
    with pytest.raises(UsageError, match=message):
        build(name, **settings)
