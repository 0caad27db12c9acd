"""ResNets for inference: batch norm is folded into the convolutions, and these add and rectify their outputs.

By a convolution, a batch norm, an addition and a ReLU, each for itself, a CPU writes a map of features four times;
in one, it is written once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class FusedConvolution(nn.Module):
    """A convolution with the batch norm after it, and the addition and the ReLU after that.

    Args:
        conv, norm: in evaluation mode; what is kept are copies.
        relu: whether a ReLU follows.
    """

    def __init__(self, conv: nn.Conv2d, norm: Any, *, relu: bool) -> None:
        super().__init__()
        self.conv = fuse_conv_bn_eval(conv, norm)
        self.relu = relu

    def forward(self, x: Tensor, total: Tensor | None = None) -> Tensor:
        """Convolves x; adds the result to a total, if there is one, in place."""
        conv = self.conv
        if not _onednn_takes(x):
            y: Tensor = conv(x) if total is None else total.add_(conv(x))
            return y.relu_() if self.relu else y
        # oneDNN's, by the ops that torch.compile puts in place of such sums.
        weights = conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups
        if total is None:
            y = torch.ops.mkldnn._convolution_pointwise(x, *weights, "relu" if self.relu else "none", [], "")
        else:
            after = "relu" if self.relu else None
            y = torch.ops.mkldnn._convolution_pointwise_.binary(total, x, *weights, "add", 1.0, after, [], "")
        return y


def _onednn_takes(x: Tensor) -> bool:
    """Tells whether oneDNN's convolutions take a tensor: on CPUs without instructions for bf16 they refuse it."""
    if x.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return x.dtype != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


class FusedBlock(nn.Module):
    """A residual block of torchvision's, basic or with a bottleneck."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        numbers = (1, 2, 3) if hasattr(block, "conv3") else (1, 2)
        pairs = [(getattr(block, f"conv{number}"), getattr(block, f"bn{number}")) for number in numbers]
        self.convolutions = nn.ModuleList(FusedConvolution(*pair, relu=True) for pair in pairs)
        down = block.downsample
        self.shortcut = nn.Identity() if down is None else FusedConvolution(*down, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Overwrites x where the shortcut is x itself."""
        *first, last = self.convolutions
        total = self.shortcut(x)
        for convolution in first:
            x = convolution(x)
        y: Tensor = last(x, total)
        return y


class FusedResNet(nn.Module):
    """The features of a ResNet with batch norm in evaluation mode, equal but for rounding.

    Args:
        resnet: stays as it is; later changes to its weights are not seen.
        dtype: of the convolutions; images and features are fp32.
    """

    def __init__(self, resnet: Any, dtype: torch.dtype) -> None:
        super().__init__()
        stem = FusedConvolution(resnet.conv1, resnet.bn1, relu=True)
        blocks = (block for stage in (1, 2, 3, 4) for block in getattr(resnet, f"layer{stage}"))
        self.parts = nn.Sequential(stem, resnet.maxpool, *map(FusedBlock, blocks))
        self.parts.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False)
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        y = self.parts(x.to(self.dtype, memory_format=torch.channels_last))
        return F.adaptive_avg_pool2d(y.float(), 1).flatten(1)
