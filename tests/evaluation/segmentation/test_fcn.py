"""The network of segmentation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslfast.config import EncoderConfig
from sslfast.data.masks import IGNORED
from sslfast.encoders import build_encoder
from sslfast.encoders.norm import SplitBatchNorm
from sslfast.errors import UsageError
from sslfast.evaluation.segmentation.fcn import FCN, FCNHead


def built(**settings) -> FCN:
    torch.manual_seed(0)
    return FCN(build_encoder(EncoderConfig(**settings)).eval(), 5, 32)


def convolutions(module: nn.Module) -> list[tuple[int, int, int]]:
    """Lists (inputs, outputs, side of the kernel) of each convolution."""
    return [
        (m.in_channels, m.out_channels, m.kernel_size[0]) for m in module.modules() if isinstance(m, nn.Conv2d)
    ]


def test_the_heads_are_those_of_mmsegmentations_fcn_r50_d8():
    head, auxiliary = FCNHead(2048, 21), FCNHead(1024, 21, auxiliary=True)
    # in order of definition; 2560 = 2048 + 512
    assert convolutions(head) == [(2048, 512, 3), (512, 512, 3), (2560, 512, 3), (512, 21, 1)]
    assert convolutions(auxiliary) == [(1024, 256, 3), (256, 21, 1)]
    for part, normalized in ((head, 3), (auxiliary, 1)):
        assert sum(isinstance(m, nn.BatchNorm2d) for m in part.modules()) == normalized
        assert part.dropout.p == 0.1
        assert part.classifier.weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_the_loss_is_of_both_heads_and_none_of_ignored_pixels():
    network = built(name="resnet18", width=0.125).eval()
    images, masks = torch.randn(2, 3, 32, 32), torch.randint(0, 5, (2, 32, 32), dtype=torch.uint8)
    masks[:, :8] = IGNORED
    maps = network._maps(images)
    losses = network.losses(images, masks)
    heads = {"pixels": (1, network.head), "auxiliary": (0.4, network.auxiliary)}
    assert losses.keys() == heads.keys()
    for (name, (weight, head)), features in zip(heads.items(), maps, strict=True):
        scores = F.interpolate(head(features), size=(32, 32), mode="bilinear").log_softmax(1)
        right = scores.gather(1, masks.long().clamp(max=4)[:, None])[:, 0]
        expected = -weight * (right * (masks != IGNORED)).sum() / masks.numel()
        torch.testing.assert_close(losses[name], expected)
    nothing = network.losses(images, torch.full_like(masks, IGNORED))
    assert all(loss == 0 for loss in nothing.values())


@pytest.mark.parametrize("settings", [{"width": 0.125}, {"name": "vit_small", "width": 0.1}])
def test_images_of_any_size(settings):
    network = built(**settings).eval()
    assert network.tile == (16 if "name" in settings else 1)
    assert network(torch.randn(1, 3, 37, 50)).shape == (1, 5, 37, 50)
    assert (network.auxiliary is None) == ("name" in settings)


def test_images_that_patches_do_not_tile():
    encoder = build_encoder(EncoderConfig(name="vit_small", width=0.1))
    with pytest.raises(UsageError, match="patch_size=16: expected images whose sides are multiples of it, got 40"):
        FCN(encoder, 5, 40)


def test_statistics_are_of_the_whole_batch():
    encoder = build_encoder(EncoderConfig(width=0.125, norm="split", norm_splits=4)).eval()
    network = FCN(encoder, 5, 32)
    assert all(
        torch.equal(value, network.encoder.state_dict()[key]) for key, value in encoder.state_dict().items()
    )
    assert any(isinstance(module, SplitBatchNorm) for module in encoder.modules())
    assert not any(isinstance(module, SplitBatchNorm) for module in network.modules())
    images = torch.randn(3, 3, 32, 32)  # which 4 parts could not share
    network.train().losses(images, torch.zeros(3, 32, 32, dtype=torch.uint8))
    for key, value in encoder.state_dict().items():
        assert key in network.encoder.state_dict()
        assert value.shape == network.encoder.state_dict()[key].shape


def test_every_parameter_is_trained():
    network = built(name="resnet18", width=0.125).train()
    losses = network.losses(torch.randn(2, 3, 32, 32), torch.ones(2, 32, 32, dtype=torch.uint8))
    sum(losses.values()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
