"""ResNets for inference: the features of the encoder that they are made of."""

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.encoders.fused import FusedResNet
from sslfast.encoders.resnet import ResNet


def encoder_of(**settings) -> ResNet:
    """Builds an encoder whose batch norms have statistics, weights and biases of their own, in evaluation mode."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(width=0.125, **settings))
    for module in encoder.modules():
        if getattr(module, "running_mean", None) is not None:
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.3)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 2)
    return encoder.eval()


def images(side: int) -> torch.Tensor:
    return torch.randn(3, 3, side, side)


def assert_same_but_for_rounding(got: torch.Tensor, expected: torch.Tensor) -> None:
    assert ((got - expected).norm(dim=1) < 1e-5 * expected.norm(dim=1)).all()


@pytest.mark.parametrize("settings", [{"norm": "split", "norm_splits": 2}, {"norm": "sync"}, {"name": "resnet50"}])
@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@torch.no_grad()
def test_has_the_features_of_the_encoder(stem, settings):
    encoder = encoder_of(stem=stem, **settings)
    fused = encoder.for_inference(torch.float32)
    assert isinstance(fused, FusedResNet)
    for side in (32, 47):
        x = images(side)
        assert_same_but_for_rounding(fused(x), encoder(x))


@torch.no_grad()
def test_in_bf16_features_are_fp32():
    encoder, x = encoder_of(stem="cifar"), images(32)
    y = encoder.for_inference(torch.bfloat16)(x)
    assert y.dtype == torch.float32
    assert F.cosine_similarity(y, encoder(x)).min() > 0.999
    assert next(encoder.parameters()).dtype == torch.float32


@torch.no_grad()
def test_without_onednn_as_with_it(monkeypatch):
    encoder, x = encoder_of(stem="cifar", name="resnet50"), images(32)
    fused = encoder.for_inference(torch.float32)
    with_onednn = fused(x)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert_same_but_for_rounding(fused(x), with_onednn)


@torch.no_grad()
def test_later_changes_of_the_encoder_are_not_seen():
    encoder, x = encoder_of(stem="cifar"), images(32)
    fused = encoder.for_inference(torch.float32)
    before = fused(x)
    for parameter in encoder.parameters():
        parameter.zero_()
    assert torch.equal(fused(x), before)


def test_other_norms_have_no_fused_form():
    encoder = encoder_of(norm="layer")
    assert encoder.for_inference(torch.float32) is encoder
