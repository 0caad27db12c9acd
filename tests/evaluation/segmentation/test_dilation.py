"""Encoders with a finer map of features."""

import pytest
import torch
from torchvision.models import resnet50

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.evaluation.segmentation.dilation import dilated


def built(**settings):
    torch.manual_seed(0)
    return build_encoder(EncoderConfig(**settings)).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("size", [(64, 96), (70, 97)])
def test_the_old_map_is_every_fourth_place_of_the_new_one(name, size):
    encoder = built(name=name, width=0.25)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    images = torch.randn(2, 3, *size)
    coarse, fine = encoder(images, dense=True), dilated(encoder)(images, dense=True)
    assert fine.shape[-2:] == tuple(-(-side // 8) for side in size)
    torch.testing.assert_close(fine[..., ::4, ::4], coarse, rtol=1e-4, atol=1e-4 * coarse.abs().max().item())
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert encoder(images, dense=True).shape == coarse.shape


@torch.no_grad()
def test_bottlenecks_are_torchvisions():
    encoder = built(name="resnet50")
    theirs = resnet50(replace_stride_with_dilation=[False, True, True]).eval()
    theirs.load_state_dict(encoder.state_dict(), strict=False)  # but for the classifier
    images = torch.randn(1, 3, 64, 64)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
    for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        x = stage(x)
    torch.testing.assert_close(dilated(encoder)(images, dense=True), x)


@torch.no_grad()
@pytest.mark.parametrize(
    ("settings", "side"),
    [
        ({"stem": "cifar", "width": 0.25}, 8),
        ({"name": "resnet18", "colors": "lab", "width": 0.5}, 8),
        ({"name": "vit_small", "width": 0.1}, 4),
    ],
)
def test_the_side_of_a_map_of_64_pixels(settings, side):
    images = torch.rand(1, 3, 64, 64)
    assert dilated(built(**settings))(images, dense=True).shape[-2:] == (side, side)


def test_all_is_to_be_trained():
    encoder = built(name="vit_small", width=0.1)
    assert not all(parameter.requires_grad for parameter in encoder.parameters())
    assert all(parameter.requires_grad for parameter in dilated(encoder).parameters())
