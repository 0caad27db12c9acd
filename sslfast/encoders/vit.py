"""Vision transformers (Dosovitskiy et al. 2021, arXiv:2010.11929) as MoCo v3 (Chen, Xie, He 2021,
arXiv:2104.02057) trains them: fixed positions, and a random patch projection that stays as it is."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock

from sslfast.config import EncoderConfig
from sslfast.encoders.base import Encoder
from sslfast.errors import UsageError

VITS = {"vit_small": 384, "vit_base": 768}  # width of a token, in MoCo v3's table of configurations
DEPTH = HEADS = 12  # of both; other ViT-S have 6 heads
TEMPERATURE = 10000.0  # of the position embedding's frequencies (Vaswani et al. 2017, section 3.5)


class ViT(Encoder):
    """A transformer of torchvision's blocks over patches and a class token.

    Positions are computed from the number of patches, so that images of any size are taken whose sides are
    multiples of the patch's.

    Args:
        dim: width of a token, a multiple of HEADS.
        patch_size: side of a patch, pixels.
        freeze_patch_projection: the patches' projection stays random, which steadies training (MoCo v3,
            section 4.2).
        pool: whether the class token or the mean of the patches' tokens becomes the features.
        channels: of the images.
    """

    def __init__(
        self,
        dim: int,
        *,
        patch_size: int,
        freeze_patch_projection: bool,
        pool: Literal["class", "mean"] = "class",
        channels: int = 3,
    ) -> None:
        super().__init__()
        self.feature_dim, self.patch_size, self.pool = dim, patch_size, pool
        self.conv_proj = nn.Conv2d(channels, dim, kernel_size=patch_size, stride=patch_size)
        self.conv_proj.requires_grad_(not freeze_patch_projection)
        self.class_token = nn.Parameter(torch.empty(1, 1, dim))
        blocks = (EncoderBlock(HEADS, dim, 4 * dim, dropout=0.0, attention_dropout=0.0) for _ in range(DEPTH))
        self.layers = nn.Sequential(*blocks)
        self.ln = nn.LayerNorm(dim, eps=1e-6)
        initialize(self)
        nn.init.normal_(self.class_token, std=1e-6)

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)

    def forward(
        self,
        x: Tensor,
        dense: bool = False,
        *,
        tokens: bool = False,
        keep: Tensor | None = None,
        mask: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Encodes images (B, C, S, S) of N = h * w patches, which are counted row by row.

        Args:
            x: the images.
            dense: give the map of patches.
            tokens: give all tokens, (B, 1 + N, D), the class token first.
            keep: int64 (B, V), the only patches that are encoded, in this order; then V in place of N tokens.
            mask: bool (B, N) and (D,), the patches that are hidden, and the vector that stands for each of them
                before its position is added.

        Raises:
            UsageError: patches do not tile the images.
        """
        for side in x.shape[-2:]:
            check_tiling(side, self.patch_size)
        patches = self.conv_proj(x)  # (B, D, h, w)
        height, width = patches.shape[-2:]
        patches = patches.flatten(2).mT
        if mask is not None:
            hidden, stand_in = mask
            patches = torch.where(hidden[:, :, None], stand_in.to(patches.dtype), patches)
        positions = position_embedding(height, width, self.feature_dim, device=x.device)
        patches = patches + positions.to(self.class_token.dtype)
        if keep is not None:
            patches = patches.gather(1, keep[:, :, None].expand(-1, -1, self.feature_dim))
        rows = torch.cat([self.class_token.expand(len(x), -1, -1), patches], dim=1)
        rows = self.ln(self.layers(rows))  # (B, 1 + N, D)
        if tokens:
            return rows
        if dense:
            return rows[:, 1:].mT.unflatten(2, (height, width))
        return rows[:, 0] if self.pool == "class" else rows[:, 1:].mean(dim=1)


@torch.no_grad()
def initialize(transformer: nn.Module) -> None:
    """Sets the weights as MoCo v3's published code: matrices by Glorot's rule; queries, keys, values apart."""
    for module in transformer.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight.flatten(1))
            assert module.bias is not None
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.MultiheadAttention):
            for weight in module.in_proj_weight.chunk(3):
                nn.init.xavier_uniform_(weight)
            nn.init.zeros_(module.in_proj_bias)


def position_embedding(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """Computes the fixed embedding of a grid's positions, row by row: fp32 (height * width, dim), 4 divides dim.

    The patch at (i, j) has sin(i f), cos(i f), sin(j f), cos(j f), each for the dim / 4 frequencies
    f = 10000^(-4k / dim), k = 0, 1, ...: the order of the code published with MoCo v3.
    """
    frequencies = TEMPERATURE ** -(torch.arange(dim // 4, device=device) / (dim // 4))
    axes = (torch.arange(n, dtype=torch.float32, device=device) for n in (height, width))
    angles = [axis.flatten()[:, None] * frequencies for axis in torch.meshgrid(*axes, indexing="ij")]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def check_tiling(side: int, patch_size: int) -> None:
    """Refuses images that patches do not tile.

    Raises:
        UsageError: the side is no multiple of the patch's.
    """
    if side % patch_size:
        raise UsageError(
            f"encoder.patch_size={patch_size}: expected images whose sides are multiples of it, got {side} pixels"
        )


def build_vit(config: EncoderConfig, channels: int) -> ViT:
    """Builds the ViT that a recipe's `encoder` section names; `width` rounds to whole channels of each head."""
    return ViT(
        HEADS * max(1, round(VITS[config.name] * config.width / HEADS)),
        patch_size=config.patch_size,
        freeze_patch_projection=config.freeze_patch_projection,
        pool=config.pool,
        channels=channels,
    )
