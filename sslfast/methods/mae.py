"""Masked autoencoders, MAE (He, Chen, Xie, Li, Dollar, Girshick 2022, arXiv:2111.06377)."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count
from sslfast.data import Batch
from sslfast.encoders import Encoder
from sslfast.encoders.vit import ViT, initialize, position_embedding
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.random.key import Stream
from sslfast.views import divide


@dataclass(config=STRICT)
class MAEConfig:
    name: Literal["mae"]
    masked: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Share of the patches that the encoder does not see, and whose pixels are predicted."""
    normalize_pixels: bool = True
    """The pixels of each patch are predicted less their mean, by their standard deviation."""
    decoder_dim: Count = 512
    """Width of the decoder's tokens, a multiple of 4 and of the heads."""
    decoder_depth: Count = 8
    """Number of the decoder's blocks."""
    decoder_heads: Count = 16
    """Number of heads of the decoder's attention."""


class MAE(Method[MAEConfig, None]):
    """The encoder sees a quarter of the patches; a small decoder predicts the pixels of the others."""

    Config = MAEConfig
    num_views = 1
    needs_tokens = True

    def __init__(self, recipe: Recipe[MAEConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.patch_size = cast(ViT, encoder).patch_size
        self.decoder = Decoder(encoder.feature_dim, self.config, recipe.data.channels * self.patch_size**2)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        (view,) = batch.views
        side = view.shape[-1] // self.patch_size
        order = batch.key().uniform(Stream.MASK, side**2).argsort(dim=1)
        visible = num_visible(side, self.config.masked)
        encoded = self.encoder(view, tokens=True, keep=order[:, :visible])
        predicted = self.decoder(encoded, order, side)  # [B, N, C * p * p]
        pixels = divide(view.to(predicted.dtype), side).flatten(2)
        if self.config.normalize_pixels:
            variance, mean = torch.var_mean(pixels, dim=2, keepdim=True)
            pixels = (pixels - mean) / (variance + 1e-6).sqrt()
        errors = (predicted - pixels).square().mean(dim=2)  # [B, N]
        return errors.gather(1, order[:, visible:]).mean(), {}, None

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.decoder]

    @classmethod
    def chance_loss(cls, recipe: Recipe[MAEConfig], num_images: int) -> float | None:
        count = recipe.data.channels * recipe.encoder.patch_size**2
        return (count - 1) / count if recipe.method.normalize_pixels else None  # the pixels' own variance

    @classmethod
    def check(cls, recipe: Recipe[MAEConfig], num_images: int) -> None:
        dim, heads, masked = recipe.method.decoder_dim, recipe.method.decoder_heads, recipe.method.masked
        if dim % 4 or dim % heads:
            raise UsageError(
                f"method.decoder_dim={dim}: expected a multiple of 4 and of method.decoder_heads={heads}"
            )
        side = recipe.data.sizes[0] // recipe.encoder.patch_size
        if num_visible(side, masked) < 1:
            raise UsageError(f"method.masked={masked:g}: expected to leave at least one of {side**2} patches")


class Decoder(nn.Module):
    """A transformer from the visible tokens to the pixels of all patches.

    Args:
        width: of the encoder's tokens.
        config: its size.
        num_outputs: values of a patch.
    """

    def __init__(self, width: int, config: MAEConfig, num_outputs: int) -> None:
        super().__init__()
        self.dim = config.decoder_dim
        self.embed = nn.Linear(width, self.dim)
        self.mask_token = nn.Parameter(torch.empty(self.dim))
        sizes = config.decoder_heads, self.dim, 4 * self.dim
        blocks = (EncoderBlock(*sizes, 0.0, 0.0) for _ in range(config.decoder_depth))
        self.layers = nn.Sequential(*blocks)
        self.ln = nn.LayerNorm(self.dim, eps=1e-6)
        self.head = nn.Linear(self.dim, num_outputs)
        initialize(self)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tensor, order: Tensor, side: int) -> Tensor:
        """Gives every patch its outputs, (B, N, num_outputs).

        Args:
            tokens: (B, 1 + V, width), the class token, and the visible patches'.
            order: int64 (B, N), the patches' numbers: first those of the visible ones.
            side: patches along a side, the root of N.
        """
        embedded = self.embed(tokens)
        missing = self.mask_token.to(embedded.dtype).expand(len(order), order.shape[1] + 1 - tokens.shape[1], -1)
        patches = torch.cat([embedded[:, 1:], missing], dim=1)
        patches = patches.gather(1, order.argsort(dim=1)[:, :, None].expand(-1, -1, self.dim))
        positions = position_embedding(side, side, self.dim, device=order.device)
        patches = patches + positions.to(self.mask_token.dtype)
        rows = self.layers(torch.cat([embedded[:, :1], patches], dim=1))
        outputs: Tensor = self.head(self.ln(rows))[:, 1:]
        return outputs


def num_visible(side: int, masked: float) -> int:
    """Tells how many of side x side patches the encoder sees, as the published code rounds."""
    return int(side**2 * (1 - masked))
