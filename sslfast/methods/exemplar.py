"""Exemplar-CNN: each image is a class of its own (Dosovitskiy et al. 2016, arXiv:1406.6909)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import distributed
from sslfast import kernels as K
from sslfast.config import DataConfig, Recipe
from sslfast.config.fields import STRICT, Count, CountOrZero, Positive
from sslfast.data import Batch
from sslfast.distributed import gather
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods.base import Method
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.negatives import contrastive_accuracy
from sslfast.views import Key, from_rgb, to_rgb
from sslfast.views.exemplar import sample_surrogate, transformed


@dataclass(config=STRICT)
class ExemplarConfig:
    name: Literal["exemplar"]
    form: Literal["classifier", "triplet"] = "classifier"
    """Form of the loss; classifier: tell an image among all; triplet: nearer to its own kind, by a margin."""
    members: Count = 1
    """Number of transformed copies of each image in a step; triplets need 2."""
    dim: Count = 1024
    """Width of the layer before the classes, or of the embedding that triplets are of."""
    sampled: CountOrZero | None = None
    """Number of images that the classifier chooses among beside the batch's, drawn each step; null: all."""
    margin: Positive = 0.5
    """Margin of the triplets."""


class Exemplar(Method[ExemplarConfig, None]):
    """A classifier over the images, exact or by a sampled softmax; or, without classes, triplets.

    The sampled softmax and the logits without bias are ours. The triplets are those of Kolesnikov et al. 2019
    (arXiv:1901.09005), whose code mines them as FaceNet does.
    """

    Config = ExemplarConfig
    num_views = 1
    gradient: Tensor

    def __init__(self, recipe: Recipe[ExemplarConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.members = Members(recipe.data)
        self.head = mlp(encoder.feature_dim, self.config.dim)
        if self.config.form == "classifier":
            self.classes = nn.Linear(self.config.dim, num_images, bias=False)
            self.register_buffer("gradient", torch.empty_like(self.classes.weight), persistent=False)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], None]:
        draws = _draws(batch.key(), self.config.members)
        embedding = self.head(self.encoder(self.members(batch.views[0], draws)))
        if self.config.form == "triplet":
            z = torch.cat([gather(copies) for copies in F.normalize(embedding, dim=1).chunk(self.config.members)])
            return *semi_hard_triplets(z, self.config.members, self.config.margin), None
        candidates = self._candidates(gather(batch.index))
        loss, positive_ranks = K.in_batch_info_nce(
            embedding.relu(),
            Rows.apply(self.classes.weight, candidates, self.gradient),
            temperature=1.0,
            offset=distributed.rank() * len(batch.index),
            chunks=self.config.members,
            return_rank=True,
        )
        return loss, contrastive_accuracy(positive_ranks), None

    def _candidates(self, index: Tensor) -> Tensor:
        """Lists the classes to choose among: those of all ranks' batch, in its order, then others at random."""
        batch_size = len(index)
        place = torch.rand(self.classes.out_features, device=index.device)
        place[index] = torch.arange(-batch_size, 0, device=index.device, dtype=place.dtype)
        sampled = self.config.sampled
        return place.argsort()[: None if sampled is None else batch_size + sampled]

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.members]

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[ExemplarConfig], number: int, view: Tensor, key: Key) -> Tensor:
        draws = _draws(key, recipe.method.members)
        return Members(recipe.data)(view, draws).unflatten(0, draws.shape[:2]).transpose(0, 1)

    @classmethod
    def colors_read(cls, recipe: Recipe[ExemplarConfig]) -> str | None:
        return "method.name=exemplar"

    @classmethod
    def chance_loss(cls, recipe: Recipe[ExemplarConfig], num_images: int) -> float:
        config = recipe.method
        if config.form == "triplet":
            return config.margin
        classes = num_images if config.sampled is None else recipe.data.batch_size + config.sampled
        return math.log(min(classes, num_images))

    @classmethod
    def check(cls, recipe: Recipe[ExemplarConfig], num_images: int) -> None:
        config = recipe.method
        if config.form == "triplet" and config.members == 1:
            raise UsageError("method.members=1: expected at least 2 for method.form=triplet")


class Members(nn.Module):
    """Makes the members of normalized views: a module without parameters, which can be compiled.

    Not fused, each of many operations would read and write all of the images.
    """

    def __init__(self, data: DataConfig) -> None:
        super().__init__()
        self.mean, self.std = data.mean, data.std

    def forward(self, view: Tensor, draws: Tensor) -> Tensor:
        """Makes members of views (B, 3, S, S) by draws (M, B, 14): (M * B, 3, S, S), all images M times."""
        rgb = to_rgb(view, self.mean, self.std)
        members = transformed(rgb.expand(len(draws), *rgb.shape).flatten(0, 1), draws.flatten(0, 1))
        return from_rgb(members, self.mean, self.std).contiguous(memory_format=torch.channels_last)


class Rows(torch.autograd.Function):
    """weight[index], whose dense gradient is written where that of the step before was.

    Of the classes of all images it is the largest tensor of a step: on the CPU the pages of a new one would take
    longer than the optimizer takes for it.

    Args:
        weight: (N, D).
        index: int64 (M,), all different.
        gradient: (N, D), is overwritten. Steps must not accumulate: `weight.grad` is None in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.gradient = gradient
        return weight.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        gradient = ctx.gradient.zero_().index_copy_(0, index, gradients[0])
        return gradient.detach(), None, None  # a tensor of its own, which autograd takes without copying it


def _draws(key: Key, num_members: int) -> Tensor:
    """Samples the draws that make each member of each sample, (num_members, B, 14)."""
    return torch.stack([sample_surrogate(replace(key, view=member)) for member in range(num_members)])


def semi_hard_triplets(z: Tensor, num_members: int, margin: float) -> tuple[Tensor, dict[str, Tensor]]:
    """Computes the triplet loss with semi-hard negatives (Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832).

    With squared distances d, the mean over all ordered pairs (a, p) of members of a class of

        max(0, d(a, p) - d(a, n) + margin)

    n is the nearest to a of those of other classes that are farther from it than p, and the farthest of all where
    none is.

    Args:
        z: (num_members * B, D), of length 1: all images once, then all again.
        num_members: how many members each class has.
        margin: how much farther away other classes should be.

    Returns:
        (the loss, {"accuracy": how often p is nearer to a than any of another class}).
    """
    image = torch.arange(len(z) // num_members, device=z.device).repeat(num_members)
    same_image = image[:, None] == image
    distance = 2 - 2 * z @ z.T
    others = distance.masked_fill(same_image, torch.inf)
    farthest = distance.masked_fill(same_image, -torch.inf).amax(1)
    losses, nearer = [], []
    for shift in range(1, num_members):
        positive = 2 - 2 * (z * z.roll(shift * len(z) // num_members, 0)).sum(1)
        beyond = others.masked_fill(distance <= positive[:, None], torch.inf).amin(1)
        negative = torch.where(beyond.isfinite(), beyond, farthest)
        losses.append(F.relu(positive - negative + margin))
        nearer.append(positive < others.amin(1))
    return torch.stack(losses).mean(), {"accuracy": torch.stack(nearer).float().mean()}
