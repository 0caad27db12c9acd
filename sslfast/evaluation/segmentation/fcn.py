"""A fully convolutional network (Long, Shelhamer, Darrell 2015) on an encoder, in the form of mmsegmentation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslfast.data.masks import IGNORED
from sslfast.encoders import Encoder
from sslfast.encoders.norm import use_whole_batches
from sslfast.encoders.resnet import CONVOLUTIONAL, ResNet
from sslfast.evaluation.segmentation.dilation import dilated

# Of mmsegmentation's fcn_r50-d8 and fcn_r18-d8, by which LEWEL (Huang et al. 2022, section 4.3) is tested.
REDUCTION = 4  # a head's channels are its input's divided by this
DROPOUT = 0.1
AUXILIARY_WEIGHT = 0.4


class FCNHead(nn.Module):
    """Two 3x3 convolutions, and a third one of their result beside the input, then the classes' scores.

    torchvision's head of the same name has one convolution, as our auxiliary one.

    Args:
        channels: of the input.
        num_classes: of the output.
        auxiliary: only one convolution.
    """

    def __init__(self, channels: int, num_classes: int, *, auxiliary: bool = False) -> None:
        super().__init__()
        inner = max(1, channels // REDUCTION)
        self.convolutions = _convolution(channels, inner)
        self.joint: nn.Module | None = None
        if not auxiliary:
            self.convolutions.append(_convolution(inner, inner))
            self.joint = _convolution(channels + inner, inner)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.classifier = nn.Conv2d(inner, num_classes, kernel_size=1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        assert self.classifier.bias is not None
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolutions(x)
        if self.joint is not None:
            y = self.joint(torch.cat([x, y], dim=1))
        scores: Tensor = self.classifier(self.dropout(y))
        return scores


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class FCN(nn.Module):
    """A copy of an encoder with a finer map, see `dilated`, and heads from it to the classes of pixels.

    Batch normalizations are over the whole batch, as the published ones, SyncBN, are over that of all GPUs. Only a
    ResNet has an auxiliary head, on its last stage but one.

    Args:
        encoder: is copied, and stays as it is.
        num_classes: number of classes.
        side: of the training crops, pixels.

    Attributes:
        tile: pixels that the sides of images have to be multiples of: of a ViT those of a patch.

    Raises:
        UsageError: the encoder takes no images of that side, or of one size only, or has no map.
    """

    def __init__(self, encoder: Encoder, num_classes: int, side: int) -> None:
        super().__init__()
        self.encoder = dilated(encoder)
        use_whole_batches(self.encoder)
        device = next(encoder.parameters()).device
        with torch.no_grad():
            last, before = self._maps(torch.zeros(1, 3, side, 2 * side, device=device))
        is_resnet = any(isinstance(module, ResNet) for module in encoder.modules())
        self.tile = 1 if is_resnet else side // last.shape[-2]
        self.head = FCNHead(last.shape[1], num_classes)
        self.auxiliary = None if before is None else FCNHead(before.shape[1], num_classes, auxiliary=True)
        self.to(device)

    def losses(self, images: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Computes the losses of the heads, see `pixel_loss`, that of the auxiliary one times AUXILIARY_WEIGHT.

        Args:
            images: (B, 3, S, S), normalized.
            masks: uint8 (B, S, S), positions of classes or IGNORED.
        """
        last, before = self._maps(images)
        losses = {"pixels": pixel_loss(self.head(last), masks)}
        if self.auxiliary is not None:
            losses["auxiliary"] = AUXILIARY_WEIGHT * pixel_loss(self.auxiliary(before), masks)
        return losses

    def forward(self, images: Tensor) -> Tensor:
        """Scores the classes of each pixel, (B, C, H, W), of normalized images (B, 3, H, W) of any size."""
        height, width = images.shape[-2:]
        padded = F.pad(images, (0, -width % self.tile, 0, -height % self.tile))
        scores = F.interpolate(self.head(self._maps(padded)[0]), size=padded.shape[-2:], mode="bilinear")
        return scores[..., :height, :width]

    def _maps(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Computes the maps of features of the encoder's last stage, and of the one before, if any."""
        if not isinstance(self.encoder, ResNet):
            return self.encoder(images, dense=True), None
        before = x = images
        for part in CONVOLUTIONAL:
            before, x = x, self.encoder.get_submodule(part)(x)
        return x, before


def pixel_loss(scores: Tensor, masks: Tensor) -> Tensor:
    """Averages the cross-entropy of scores (B, C, h, w), enlarged to the size of masks (B, H, W), over all pixels.

    Ignored ones have none, but count for the average, as in mmsegmentation: no image weighs more than another.
    """
    enlarged = F.interpolate(scores, size=masks.shape[-2:], mode="bilinear")
    return F.cross_entropy(enlarged, masks.long(), ignore_index=IGNORED, reduction="none").mean()
