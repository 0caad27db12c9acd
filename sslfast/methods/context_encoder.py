"""Context encoders, which learn by inpainting (Pathak, Kraehenbuehl, Donahue et al. 2016, arXiv:1604.07379)."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Positive
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import relu
from sslfast.views import Key, inpainting_regions


@dataclass(config=STRICT)
class ContextEncoderConfig:
    name: Literal["context_encoder"]
    region: Literal["blocks", "center"] = "blocks"
    """Region that is hidden: blocks at random, a quarter of the view, or its center, which teaches less."""
    overlap: CountOrZero | None = None
    """Width in pixels of the visible frame that is predicted too; null: a 32nd of the view, as 7 of 224."""
    overlap_weight: Positive = 10.0
    """Weight of the frame's errors; those of hidden pixels have 1."""
    decoder_dim: Count = 64
    """Channels of the decoder's last layers; towards the encoder they double, up to eight times as many."""


class ContextEncoder(Method[ContextEncoderConfig, None]):
    """A decoder paints in what is hidden of a view, from the map that the encoder makes of the rest.

    The loss is the paper's L2 alone, without its adversarial loss, as the paper's own features were learned. The
    mean is over the pixels that are predicted. Hidden pixels have the mean color, 0 in a normalized view.
    """

    Config = ContextEncoderConfig
    num_views = 1
    needs_map = True
    adds_up = True

    def __init__(self, recipe: Recipe[ContextEncoderConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        (side,) = recipe.data.sizes
        channels, width = recipe.data.channels, encoder.feature_dim
        places = map_side(encoder, side, channels)
        self.decoder = Decoder(width, places, side, self.config.decoder_dim, channels)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        (view,) = batch.views
        hidden, predicted = regions(self.config, view, batch.key())
        painted = self.decoder(self.encoder(without(view, hidden), dense=True))
        errors = (painted - view.to(painted.dtype)).square().mean(dim=1)  # [B, S, S]
        weights = torch.where(hidden, 1.0, self.config.overlap_weight) * predicted
        return ((errors * weights).sum(dim=(1, 2)) / predicted.sum(dim=(1, 2))).mean(), {}, None

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.decoder]

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[ContextEncoderConfig], number: int, view: Tensor, key: Key) -> Tensor:
        """Hides a part of the view, as the encoder gets it."""
        hidden, _ = regions(recipe.method, view, key)
        return without(view, hidden)[:, None]


def regions(config: ContextEncoderConfig, view: Tensor, key: Key) -> tuple[Tensor, Tensor]:
    """Chooses what of views (B, C, S, S) is hidden and what is predicted, bool (B, S, S) each."""
    side = view.shape[-1]
    return inpainting_regions(key, side, config.region, side // 32 if config.overlap is None else config.overlap)


def without(view: Tensor, hidden: Tensor) -> Tensor:
    """Fills views with the mean color where they are hidden."""
    return view.masked_fill(hidden[:, None], 0.0)


@torch.no_grad()
def map_side(encoder: Encoder, side: int, channels: int) -> int:
    """Finds the side of the encoder's map of a view; its state stays as it is."""
    training = encoder.training
    shape = encoder.eval()(torch.zeros(1, channels, side, side), dense=True).shape
    encoder.train(training)
    return int(shape[-1])


class ChannelLinear(nn.Module):
    """A linear map from all places to all places of a map, for each channel apart (section 3.1).

    Args:
        channels: of the map.
        places: of the map, h * w.
    """

    def __init__(self, channels: int, places: int) -> None:
        super().__init__()
        bound = places**-0.5
        self.weight = nn.Parameter(torch.empty(channels, places, places).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels, places).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, h, w) to the same shape."""
        rows = x.flatten(2).transpose(0, 1)  # [C, B, P]
        return torch.baddbmm(self.bias[:, None], rows, self.weight).transpose(0, 1).unflatten(2, x.shape[2:])


class Decoder(nn.Sequential):
    """A network from the encoder's map to the pixels of the whole view.

    The channels' own linear maps are followed by a convolution of 1 x 1 over channels, and by transposed
    convolutions that double the sides, as the published code has them: of 4 x 4, with batch normalization and ReLU
    before each. Ours ends without its tanh, as views are normalized, and has none of the dropout.

    Args:
        width: channels of the map.
        side: of the map.
        view_side: of the view, pixels.
        dim: channels of the last layers.
        channels: of the view.

    Raises:
        UsageError: the map is not coarser than the view.
    """

    def __init__(self, width: int, side: int, view_side: int, dim: int, channels: int = 3) -> None:
        doublings = math.ceil(math.log2(view_side / side))
        if doublings < 1:
            raise UsageError(
                f"context_encoder: expected a map of fewer than the view's {view_side} x {view_side} places, got "
                f"{side} x {side}; take another encoder"
            )
        widths = [dim * min(8, 2**k) for k in reversed(range(doublings))]
        layers = [ChannelLinear(width, side**2), nn.Conv2d(width, widths[0], kernel_size=1, bias=False)]
        for fan_in, fan_out in zip(widths, [*widths[1:], channels], strict=True):
            last = len(layers) == 2 + 3 * (doublings - 1)
            layers += [nn.BatchNorm2d(fan_in), relu()]
            layers.append(nn.ConvTranspose2d(fan_in, fan_out, 4, stride=2, padding=1, bias=last))
        super().__init__(*layers)
        self.view_side = view_side

    def forward(self, x: Tensor) -> Tensor:
        """Paints the pixels (B, C, S, S) of maps (B, width, h, w)."""
        painted: Tensor = super().forward(x)
        return painted[..., : self.view_side, : self.view_side]
