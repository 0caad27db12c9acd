"""iBOT, masked patch distillation (Zhou, Wei, Wang, Shen, Xie, Yuille, Kong 2022, arXiv:2111.07832)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative, Probability, ShareRange
from sslfast.data import Batch
from sslfast.distributed import mean
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.dino import DINOConfig, DINONetworks
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.multi_crop import encode_crops
from sslfast.nn.swav import predict_others
from sslfast.views import block_mask


@dataclass(config=STRICT)
class IBOTConfig(DINOConfig):
    name: Literal["ibot"]  # type: ignore[assignment]
    prototypes: Count = 8192
    """Number of trained unit vectors that the bottleneck is compared with (K), of class and patch tokens."""
    masked: ShareRange = (0.1, 0.5)
    """Share of a masked crop's patches that are hidden: least and most."""
    mask_probability: Probability = 0.5
    """Probability that patches of a global crop are hidden from the student."""
    patch_weight: NonNegative = 1.0
    """Weight of the patches' loss beside that of the class tokens."""


class IBOT(DINONetworks[IBOTConfig, Tensor]):
    """DINO whose student also predicts, of each hidden patch, what the teacher makes of it, who sees all.

    Class tokens and patches share the head. The patches have a center of their own, over all that the teacher
    sees. What is said of DINO holds here too.
    """

    Config = IBOTConfig
    needs_tokens = True
    patch_center: Tensor

    def __init__(self, recipe: Recipe[IBOTConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.patch_size = recipe.encoder.patch_size
        self.mask_token = nn.Parameter(torch.zeros(encoder.feature_dim))  # as in the published code
        self.register_buffer("patch_center", torch.zeros(self.config.prototypes))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        config, count = self.config, self.config.global_crops
        whole, small = torch.cat(batch.views[:count]), batch.views[count:]
        hidden = self._masks(batch)
        tokens = self.encoder(whole, tokens=True, mask=(hidden, self.mask_token))
        z, scores = self._score(tokens, frozen=batch.epoch < config.frozen_epochs)
        crops = list(scores[:, 0].chunk(count))
        if small:
            _, of_small = self._score(encode_crops(self.encoder, small), frozen=batch.epoch < config.frozen_epochs)
            crops += of_small.chunk(len(small))
        centered, centered_patches = self._teacher_scores(whole)
        temperature = self.teacher_temperature(batch.epoch)
        targets = F.softmax(centered / temperature, dim=1).chunk(count)
        class_loss = predict_others(crops, targets, temperature=config.temperature)
        patch_targets = F.softmax(centered_patches / temperature, dim=2)
        patch_loss = self._patch_loss(scores[:, 1:], patch_targets, hidden)
        values = {
            "class_loss": class_loss.detach(),
            "patch_loss": patch_loss.detach(),
            "std": embedding_std(z[: len(batch.index), 0]),
        }
        kept = torch.stack([mean(centered.mean(dim=0)), mean(centered_patches.mean(dim=(0, 1)))])
        return class_loss + config.patch_weight * patch_loss, values, kept

    def _masks(self, batch: Batch) -> Tensor:
        """Draws the patches that are hidden of each global crop, bool (G * B, N)."""
        config, masks = self.config, []
        for number, view in enumerate(batch.views[: config.global_crops]):
            side = view.shape[-1] // self.patch_size
            masks.append(block_mask(batch.key(number), side, config.masked, config.mask_probability))
        return torch.cat(masks)

    def _score(self, tokens: Tensor, *, frozen: bool) -> tuple[Tensor, Tensor]:
        """Computes unit vectors (..., dim) of tokens (..., D), and their scores (..., K)."""
        z = F.normalize(self.head(tokens.flatten(0, -2)), dim=1)
        scores = self.prototypes(z, frozen=frozen)
        return z.unflatten(0, tokens.shape[:-1]), scores.unflatten(0, tokens.shape[:-1])

    @torch.no_grad()
    def _teacher_scores(self, whole: Tensor) -> tuple[Tensor, Tensor]:
        """Computes the teacher's centered scores of class tokens (G * B, K) and of patches (G * B, N, K)."""
        encoder, head, prototypes = self.teacher.module.children()
        tokens = encoder(whole, tokens=True)
        scores = prototypes(F.normalize(head(tokens.flatten(0, 1)), dim=1)).unflatten(0, tokens.shape[:2])
        return scores[:, 0] - self.center, scores[:, 1:] - self.patch_center

    def _patch_loss(self, scores: Tensor, targets: Tensor, hidden: Tensor) -> Tensor:
        """Computes the cross-entropy of (G * B, N, K): its mean over a crop's hidden patches, then over all crops.

        A crop without hidden patches counts as 0, as in the published code.
        """
        losses = K.soft_cross_entropy(
            scores.flatten(0, 1), targets.flatten(0, 1), temperature=self.config.temperature, reduction="none"
        ).view_as(hidden)
        return ((losses * hidden).sum(dim=1) / hidden.sum(dim=1).clamp(min=1)).mean()

    def after_step(self, kept: Tensor, step: int, total_steps: int, skip: Tensor) -> None:
        for center, difference in zip((self.center, self.patch_center), kept, strict=True):
            self.move_center(center, difference, skip)

    @classmethod
    def check(cls, recipe: Recipe[IBOTConfig], num_images: int) -> None:
        super().check(recipe, num_images)
        if recipe.encoder.pool != "class":
            raise UsageError(
                f"encoder.pool={recipe.encoder.pool}: ibot compares the class tokens of small crops with those of "
                "global ones; set encoder.pool=class"
            )
        sizes = recipe.data.sizes[: recipe.method.global_crops]
        if len(set(sizes)) > 1:
            raise UsageError(f"data.views: expected global crops of one size for ibot, got {sizes}")
