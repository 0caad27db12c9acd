"""The backbones: torchvision's ResNets, with a stem for small images, a width, and a choice of batch norm."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet

from sslfast.errors import UsageError

if TYPE_CHECKING:
    from sslfast.config import EncoderConfig

# Block type and blocks a stage (He et al. 2016, table 1).
RESNETS: dict[str, tuple[type[nn.Module], list[int]]] = {
    "resnet18": (resnet.BasicBlock, [2, 2, 2, 2]),
    "resnet34": (resnet.BasicBlock, [3, 4, 6, 3]),
    "resnet50": (resnet.Bottleneck, [3, 4, 6, 3]),
    "resnet101": (resnet.Bottleneck, [3, 4, 23, 3]),
    "resnet152": (resnet.Bottleneck, [3, 8, 36, 3]),
}
STEM_CHANNELS = 64


class SplitBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation with statistics over each of `splits` parts of the batch apart.

    One device then normalises as `splits` devices would, so that MoCo's query and key cannot tell a positive
    by their shared statistics (He et al. 2020, section 3.3). The running statistics take one step of
    `momentum` a batch in all, as those of BatchNorm2d do: our choice, where devices would keep the first's.
    """

    num_batches_tracked: Tensor

    def __init__(self, channels: int, *, splits: int, momentum: float = 0.1) -> None:
        super().__init__(channels, momentum=momentum)
        self.splits = splits
        # s updates with momentum m' decay the old value by (1 - m')^s = 1 - m.
        self.split_momentum = 1 - (1 - momentum) ** (1 / splits)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W); in training B must be a multiple of `splits`."""
        if not self.training:
            return super().forward(x)
        if x.shape[0] % self.splits:
            raise UsageError(
                f"split batch norm: expected a batch divisible by encoder.norm_splits={self.splits}, "
                f"got {x.shape[0]}"
            )
        self.num_batches_tracked.add_(1)
        parts = [
            F.batch_norm(
                part,
                self.running_mean,
                self.running_var,
                self.weight,
                self.bias,
                training=True,
                momentum=self.split_momentum,
                eps=self.eps,
            )
            for part in x.chunk(self.splits)
        ]
        return torch.cat(parts)


class Encoder(resnet.ResNet):
    """A ResNet without its classifier: images (B, 3, H, W) -> features (B, feature_dim).

    Parameters bear torchvision's names, so that weights move both ways.
    """

    def __init__(
        self,
        block: type[nn.Module],
        layers: list[int],
        *,
        width: float,
        stem: str,
        norm_layer: Callable[..., nn.Module],
    ) -> None:
        self.width = width
        super().__init__(block, layers, norm_layer=norm_layer)
        channels = self._scale(STEM_CHANNELS)
        if stem == "cifar":
            self.conv1 = nn.Conv2d(3, channels, kernel_size=3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        elif channels != STEM_CHANNELS:
            self.conv1 = nn.Conv2d(3, channels, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.bn1 = norm_layer(channels)
        self.feature_dim: int = self.inplanes
        self.fc = nn.Identity()

    def _scale(self, channels: int) -> int:
        return max(8, round(channels * self.width))

    def _make_layer(self, block: Any, planes: int, *args: Any, **kwargs: Any) -> nn.Sequential:
        # torchvision fixes the channel counts in its constructor, and asks for every stage here.
        if planes == STEM_CHANNELS:
            self.inplanes = self._scale(STEM_CHANNELS)
        return super()._make_layer(block, self._scale(planes), *args, **kwargs)


def build_encoder(config: EncoderConfig) -> Encoder:
    """The backbone that a recipe's `encoder` section names, freshly initialised from torch's generator.

    Raises:
        UsageError: no encoder has that name.
    """
    if config.name not in RESNETS:
        raise UsageError(f"encoder.name: expected one of {', '.join(RESNETS)}, got {config.name!r}")
    block, layers = RESNETS[config.name]
    norm: Callable[..., nn.Module] = nn.BatchNorm2d
    if config.norm == "split":
        norm = partial(SplitBatchNorm2d, splits=config.norm_splits)
    return Encoder(block, layers, width=config.width, stem=config.stem, norm_layer=norm)
