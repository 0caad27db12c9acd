"""Encoders with a finer map of features: the strides of a ResNet's last stages become dilations."""

from __future__ import annotations

import copy

from torch import nn

from sslfast.encoders import Encoder
from sslfast.encoders.resnet import ResNet

OUTPUT_STRIDE = 8  # pixels between two places of the map: LEWEL (Huang et al. 2022), section 4.3


def dilated(encoder: Encoder) -> Encoder:
    """Makes a copy of an encoder, to be trained as a whole, whose ResNets have a map of stride 8.

    A stride of 2 becomes 1, and the 3x3 convolutions after it take every second place, so that they see what they
    were trained on: the old map is every second place of the new one. For bottleneck blocks this is torchvision's
    `replace_stride_with_dilation`, which refuses basic blocks. A ResNet with the stem for small images has stride
    8 already; encoders that are no ResNets keep theirs, a ViT the side of a patch.
    """
    encoder = copy.deepcopy(encoder).requires_grad_(True)
    for network in [module for module in encoder.modules() if isinstance(module, ResNet)]:
        num_stages = (network.stride // OUTPUT_STRIDE).bit_length() - 1  # 32: layer3 and layer4
        for number, stage in enumerate(network.stages()[-num_stages:] if num_stages else []):
            _dilate(stage, 2**number)
        network.stride = min(network.stride, OUTPUT_STRIDE)
    return encoder


def _dilate(stage: nn.Module, dilation: int) -> None:
    """Removes the stride of a stage whose input is `dilation` times as fine as it was."""
    for block in stage.children():
        for convolution in block.modules():
            if not isinstance(convolution, nn.Conv2d):
                continue
            has_stride = convolution.stride != (1, 1)
            convolution.stride = (1, 1)
            if convolution.kernel_size == (3, 3):
                places = dilation if has_stride else 2 * dilation
                convolution.dilation = convolution.padding = (places, places)
