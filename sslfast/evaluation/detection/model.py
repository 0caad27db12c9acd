"""Faster R-CNN and Mask R-CNN on an encoder, out of torchvision's parts."""

from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d, MultiScaleRoIAlign

from sslfast.config import DataConfig
from sslfast.encoders import Encoder
from sslfast.encoders.norm import replace_norms, use_whole_batches
from sslfast.encoders.resnet import CONVOLUTIONAL, ResNet
from sslfast.errors import UsageError
from sslfast.evaluation.detection.c4 import C4Heads
from sslfast.evaluation.detection.config import DetectConfig

# The numbers are detectron2's, Base-RCNN-C4 and Base-RCNN-FPN; lengths are of images of 800 pixels.
FULL_SIDE = 800
ANCHORS = (32, 64, 128, 256, 512)  # sides
RATIOS = (0.5, 1.0, 2.0)  # of anchors
REGION = 224  # side of a region that the pyramid's level of stride 16 takes
LONGEST = 5 / 3  # the longer side of an image by the shorter one, at most
SIDE_STEP = 32  # between the shorter sides of images in training
PYRAMID, HIDDEN = 256, 1024  # channels of the pyramid and of masks, features of a box


def build_detector(
    encoder: Encoder, num_classes: int, data: DataConfig, options: DetectConfig, *, masks: bool
) -> GeneralizedRCNN:
    """Builds a detector on a copy of an encoder, its new layers initialized from torch's generator.

    Where `options.norm` is batch, the new layers have batch normalizations as MoCo's: after the last stage of c4
    (its Res5ROIHeadsExtraNorm); in the pyramid and in the heads of fpn, whose box head has four convolutions then
    (detectron2's FastRCNNConvFCHead). Losses and RoIAlign are torchvision's.

    Args:
        encoder: a ResNet; it stays as it is.
        num_classes: without the background.
        data: `mean` and `std` of the encoder's input.
        options: the form of the detector.
        masks: predict masks as well.

    Returns:
        A module as torchvision's detectors are: images of values in [0, 1], and in training targets, in; losses or
        detections out. Class 0 is the background.

    Raises:
        UsageError: the encoder is no ResNet.
    """
    if not isinstance(encoder, ResNet):
        raise UsageError(
            "evaluate detect: expected a ResNet, on whose four stages a detector stands, got "
            f"{type(encoder).__name__}; name another encoder"
        )
    encoder = copy.deepcopy(encoder).requires_grad_(True)
    if options.norm == "frozen":
        replace_norms(encoder, lambda norm: FrozenBatchNorm2d(norm.num_features, eps=norm.eps))
    else:  # the regions of a head are of any number, which split batch normalization would refuse
        use_whole_batches(encoder)
    scale = options.size / FULL_SIDE
    anchors = tuple(round(side * scale) for side in ANCHORS)
    build = _c4 if options.detector == "c4" else _pyramid
    backbone, rpn, heads = build(encoder, num_classes, anchors, options, masks)
    transform = GeneralizedRCNNTransform(
        training_sides(options), round(LONGEST * options.size), list(data.mean), list(data.std)
    )
    return GeneralizedRCNN(backbone, rpn, heads, transform)


def training_sides(options: DetectConfig) -> list[int]:
    """Lists the shorter sides that images have in training, in pixels; the last one is also that of a test."""
    least = options.published.least_scale
    steps = round((1 - least) * FULL_SIDE / SIDE_STEP)
    return [round(side) for side in np.linspace(least * options.size, options.size, steps + 1).tolist()]


def _c4(
    encoder: ResNet, num_classes: int, anchors: tuple[int, ...], options: DetectConfig, masks: bool
) -> tuple[nn.Module, nn.Module, nn.Module]:
    layers = OrderedDict((name, encoder.get_submodule(name)) for name in CONVOLUTIONAL[:-1])
    stage, features = encoder.get_submodule("layer4"), encoder.feature_dim
    if options.norm == "batch":
        stage = nn.Sequential(stage, nn.BatchNorm2d(features))
    heads = C4Heads(
        stage,
        FastRCNNPredictor(features, num_classes + 1),
        MaskRCNNPredictor(features, PYRAMID, num_classes + 1) if masks else None,
        MultiScaleRoIAlign(["0"], output_size=14, sampling_ratio=2),
        **_roi_settings(options),
    )
    rpn = _rpn(_stage_channels(encoder)[2], AnchorGenerator((anchors,), (RATIOS,)), (12_000, 6000), (2000, 1000))
    return nn.Sequential(layers), rpn, heads


def _pyramid(
    encoder: ResNet, num_classes: int, anchors: tuple[int, ...], options: DetectConfig, masks: bool
) -> tuple[nn.Module, nn.Module, nn.Module]:
    norm_layer = nn.BatchNorm2d if options.norm == "batch" else None
    levels = [str(level) for level in range(4)]
    stages = {f"layer{level + 1}": name for level, name in enumerate(levels)}
    backbone = BackboneWithFPN(encoder, stages, _stage_channels(encoder), PYRAMID, norm_layer=norm_layer)
    region = round(REGION * options.size / FULL_SIDE)
    pool, mask_pool = (
        MultiScaleRoIAlign(levels, output_size=side, sampling_ratio=2, canonical_scale=region) for side in (7, 14)
    )
    if norm_layer is None:
        head: nn.Module = TwoMLPHead(PYRAMID * 7 * 7, HIDDEN)
    else:
        head = FastRCNNConvFCHead((PYRAMID, 7, 7), [PYRAMID] * 4, [HIDDEN], norm_layer)
    heads = RoIHeads(pool, head, FastRCNNPredictor(HIDDEN, num_classes + 1), **_roi_settings(options))
    if masks:
        heads.mask_roi_pool = mask_pool
        heads.mask_head = MaskRCNNHeads(PYRAMID, (PYRAMID,) * 4, 1, norm_layer)
        heads.mask_predictor = MaskRCNNPredictor(PYRAMID, PYRAMID, num_classes + 1)
    each_level = AnchorGenerator(tuple((side,) for side in anchors), (RATIOS,) * len(anchors))
    return backbone, _rpn(PYRAMID, each_level, (2000, 1000), (1000, 1000)), heads


def _stage_channels(encoder: ResNet) -> list[int]:
    """Lists the channels of the maps after layer1, layer2, layer3 and layer4."""
    following = [encoder.get_parameter(f"layer{number}.0.conv1.weight") for number in (2, 3, 4)]
    return [*(weight.shape[1] for weight in following), encoder.feature_dim]


def _rpn(
    channels: int, anchors: AnchorGenerator, before_nms: tuple[int, int], after_nms: tuple[int, int]
) -> RegionProposalNetwork:
    """Makes the network that proposes regions: `before_nms` of a level, `after_nms` of all after suppression."""
    return RegionProposalNetwork(
        anchors,
        RPNHead(channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_top_n=dict(zip(("training", "testing"), before_nms, strict=True)),
        post_nms_top_n=dict(zip(("training", "testing"), after_nms, strict=True)),
        nms_thresh=0.7,
    )


def _roi_settings(options: DetectConfig) -> dict[str, float | int | None]:
    return {
        "fg_iou_thresh": 0.5,
        "bg_iou_thresh": 0.5,
        "batch_size_per_image": options.rois,
        "positive_fraction": 0.25,
        "bbox_reg_weights": None,
        "score_thresh": 0.05,
        "nms_thresh": 0.5,
        "detections_per_img": 100,
    }
