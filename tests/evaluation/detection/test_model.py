"""Detectors on encoders: their forms, their normalization, and the head that boxes and masks share."""

import pytest
import torch
from torch import nn
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import FrozenBatchNorm2d

from sslfast.config import DataConfig, EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.detection.examples import on_device, read_example
from sslfast.evaluation.detection.model import build_detector, training_sides

CPU = torch.device("cpu")


def detector_of(encoder, masks=True, **settings):
    torch.manual_seed(0)
    options = DetectConfig(size=64, rois=8, **settings)
    return build_detector(encoder, 2, DataConfig(), options, masks=masks)


def batch(images, masks=True):
    examples = [on_device(read_example(images, index, masks=masks), CPU) for index in range(2)]
    return [image for image, _ in examples], [target for _, target in examples]


def losses_of(detector, images, masks=True):
    torch.manual_seed(0)
    return detector.train()(*batch(images, masks))


@pytest.mark.parametrize("norm", ["batch", "frozen"])
@pytest.mark.parametrize("detector", ["c4", "fpn"])
def test_every_form_trains_all_of_its_parameters_and_detects(images, encoder, detector, norm):
    model = detector_of(encoder, detector=detector, norm=norm)
    losses = losses_of(model, images)
    assert set(losses) == {
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.rpn._post_nms_top_n["testing"] = 20  # for time's sake
    with torch.no_grad():
        (found,) = model.eval()(batch(images)[0][:1])
    assert found["masks"].shape[1:] == (1, 48, 64)
    assert found["boxes"].shape == (len(found["labels"]), 4)


@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig(name="resnet18", width=0.3),
        EncoderConfig(name="resnet50", width=0.125, stem="cifar"),
        EncoderConfig(name="resnet18", width=0.125, norm="split", norm_splits=3),
    ],
)
@pytest.mark.parametrize("detector", ["c4", "fpn"])
def test_other_widths_stems_and_norms(images, config, detector):
    model = detector_of(build_encoder(config), masks=False, detector=detector)
    assert all(loss.isfinite() for loss in losses_of(model, images, masks=False).values())


def test_it_stands_on_a_copy_with_the_encoders_weights(images, encoder):
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    model = detector_of(encoder)
    weights = model.state_dict()
    assert torch.equal(weights["backbone.layer1.0.conv1.weight"], before["layer1.0.conv1.weight"])
    assert torch.equal(weights["roi_heads.mask_head.0.1.bn2.running_var"], before["layer4.1.bn2.running_var"])
    sum(losses_of(model, images).values()).backward()
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_frozen_normalization_is_kept_and_new_layers_have_none(images, encoder):
    model = detector_of(encoder, norm="frozen")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    frozen = [module for module in model.modules() if isinstance(module, FrozenBatchNorm2d)]
    statistics = [norm.running_mean.clone() for norm in frozen]
    losses_of(model, images)
    assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(frozen, statistics, strict=True))


@pytest.mark.parametrize(("detector", "more"), [("c4", 1), ("fpn", 8 + 4 + 4)])
def test_trained_normalization_is_in_the_new_layers_too(encoder, detector, more):
    model = detector_of(encoder, detector=detector)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == sum(isinstance(module, nn.BatchNorm2d) for module in encoder.modules()) + more


def test_the_shared_stage_gives_the_losses_that_torchvisions_heads_give(images, encoder):
    model = detector_of(encoder, norm="frozen")  # whose maps do not depend on what else is in the batch
    losses = losses_of(model, images)
    model.roi_heads.__class__ = RoIHeads
    expected = losses_of(model, images)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-5), name


def test_the_shared_stage_sees_each_region_once(images, encoder):
    model, seen = detector_of(encoder), []
    model.roi_heads.mask_head.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    losses_of(model, images)
    assert len(seen) == 1


def test_sides_are_detectron2s():
    assert training_sides(DetectConfig(protocol="voc")) == list(range(480, 801, 32))
    assert training_sides(DetectConfig(protocol="coco_1x")) == [640, 672, 704, 736, 768, 800]
    assert training_sides(DetectConfig(protocol="coco_2x", size=400)) == [320, 336, 352, 368, 384, 400]


def test_an_encoder_without_stages_is_refused():
    vit = build_encoder(EncoderConfig(name="vit_small", patch_size=16))
    with pytest.raises(UsageError, match="evaluate detect: expected a ResNet, .* got ViT; name another encoder"):
        detector_of(vit)
