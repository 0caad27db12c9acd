"""torchvision's ResNets, with a stem for small images and a width."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet

from sslfast.config import EncoderConfig
from sslfast.encoders.base import Encoder
from sslfast.encoders.fused import FusedResNet
from sslfast.encoders.norm import BATCH_NORMS, norm_layer

# Block type and blocks a stage (He et al. 2016, table 1).
RESNETS: dict[str, tuple[type[nn.Module], list[int]]] = {
    "resnet18": (resnet.BasicBlock, [2, 2, 2, 2]),
    "resnet34": (resnet.BasicBlock, [3, 4, 6, 3]),
    "resnet50": (resnet.Bottleneck, [3, 4, 6, 3]),
    "resnet101": (resnet.Bottleneck, [3, 4, 23, 3]),
    "resnet152": (resnet.Bottleneck, [3, 8, 36, 3]),
}
STEM_CHANNELS = 64
STRIDES = {"imagenet": 32, "cifar": 8}  # of all layers together, by stem
CONVOLUTIONAL = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")  # in order


class ResNet(resnet.ResNet, Encoder):
    """A ResNet without its classifier. Parameters bear torchvision's names, so that weights move both ways.

    Args:
        block: torchvision's block.
        layers: blocks a stage.
        width: multiplies every channel count.
        stem: "imagenet", or "cifar": a 3x3 convolution of stride 1 and no max-pool.
        norm_layer: channels -> normalization.
        channels: of the images.
        zero_init_residual: the last normalization of every block starts with a scale of 0.

    Attributes:
        stride: pixels between two places of its map of features.
        c4_dim: the number of channels of the map before the last stage.
    """

    def __init__(
        self,
        block: type[nn.Module],
        layers: list[int],
        *,
        width: float,
        stem: str,
        norm_layer: Callable[..., nn.Module],
        channels: int = 3,
        zero_init_residual: bool = False,
    ) -> None:
        self.width = width
        self.stride = STRIDES[stem]
        super().__init__(block, layers, norm_layer=norm_layer, zero_init_residual=zero_init_residual)
        planes = self._scale(STEM_CHANNELS)
        if stem == "cifar":
            self.conv1 = nn.Conv2d(channels, planes, kernel_size=3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        elif (channels, planes) != (3, STEM_CHANNELS):
            self.conv1 = nn.Conv2d(channels, planes, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = norm_layer(planes)
        self.feature_dim = self.inplanes
        self.c4_dim = self.get_parameter("layer4.0.conv1.weight").shape[1]
        self.fc = nn.Identity()

    @overload
    def forward(self, x: Tensor, dense: bool = ...) -> Tensor: ...
    @overload
    def forward(self, x: Tensor, dense: bool = ..., *, c4: Literal[True]) -> tuple[Tensor, Tensor]: ...
    def forward(self, x: Tensor, dense: bool = False, *, c4: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Encodes images (B, C, S, S).

        Args:
            x: the images.
            dense: give the map of features.
            c4: give two maps: the last, and that before the last stage, (B, c4_dim, h, w) of half the stride.
        """
        for part in CONVOLUTIONAL[:-1]:
            x = getattr(self, part)(x)
        y = self.get_submodule(CONVOLUTIONAL[-1])(x)
        if c4:
            return y, x
        return y if dense else F.adaptive_avg_pool2d(y, 1).flatten(1)

    def stages(self) -> list[nn.Module]:
        layers = [self.get_submodule(f"layer{number}") for number in (1, 2, 3, 4)]
        return [nn.ModuleList([self.conv1, self.get_submodule("bn1")]), *layers]

    def blocks(self) -> list[nn.Module]:
        return [block for number in (1, 2, 3, 4) for block in self.get_submodule(f"layer{number}").children()]

    def for_inference(self, dtype: torch.dtype) -> nn.Module:
        return FusedResNet(self, dtype) if isinstance(self.bn1, BATCH_NORMS) else self

    def _scale(self, channels: int) -> int:
        return max(8, round(channels * self.width))

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        # torchvision fixes the channel counts in its constructor, and asks for every stage here.
        if planes == STEM_CHANNELS:
            self.inplanes = self._scale(STEM_CHANNELS)
        return super()._make_layer(block, self._scale(planes), *args, **kwargs)


def build_resnet(config: EncoderConfig, channels: int) -> ResNet:
    """Builds the ResNet that a recipe's `encoder` section names."""
    block, layers = RESNETS[config.name]
    return ResNet(
        block,
        layers,
        width=config.width,
        stem=config.stem,
        norm_layer=norm_layer(config),
        channels=channels,
        zero_init_residual=config.zero_init_residual,
    )
