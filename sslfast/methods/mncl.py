"""MNCL: "Multi-network Contrastive Learning Based on Global and Local Representations" (Li, Long, Li 2023)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count, NonNegative
from sslfast.data import Batch
from sslfast.distributed import gather
from sslfast.encoders import Encoder
from sslfast.methods.fast_moco import FastMoCoConfig, FastMoCoNetworks, combined_features
from sslfast.methods.parts.momentum_copy import MomentumCopy
from sslfast.methods.parts.negatives import contrast_in_batch, contrastive_accuracy
from sslfast.methods.parts.queue import Queue, queue_size
from sslfast.random.key import Stream
from sslfast.views import Key


@dataclass(config=STRICT)
class MNCLConfig(FastMoCoConfig):
    name: Literal["mncl"]  # type: ignore[assignment]
    lam: NonNegative = 6.0
    """Weight of one of the two losses, the paper's lambda."""
    weighed: Literal["global", "local"] = "global"
    """Loss that lambda weighs; global: as in the paper's algorithm 1 and ablation; local: as in its equation 7."""
    reduction: Literal["sum", "mean"] = "sum"
    """Each of the two losses is the sum or the mean of its two terms."""
    one_embedding: bool = False
    """One combination of patches of each image, drawn at random each epoch, is contrasted instead of all."""
    queue_size: Count = 16384
    """Number of embeddings of earlier batches among which nearest neighbors are looked up."""


class MNCL(FastMoCoNetworks[MNCLConfig, Tensor]):
    """Three networks: the trained one predicts neighbors of whole views, and combined patches of another view.

    We read the projector's "fully connected layers of sizes [512, 2048, 2048]" (section 4.1) as 512 -> 2048 ->
    2048 -> 2048: the paper writes the predictor's sizes as [in, out], and Fast-MoCo's layers have 2048. Read as
    the layers' output widths, the first has 512, which is `first_hidden=512`.

    The momentum network is Fast-MoCo's target. The stop-gradient network takes over the trained encoder and
    projector after each step; it is a copy so that its patches leave the running statistics of the encoder alone.
    """

    Config = MNCLConfig
    num_views = 3

    def __init__(self, recipe: Recipe[MNCLConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        self.stopped = MomentumCopy(nn.Sequential(encoder, self.projector))
        self.queue = Queue(self.config.queue_size, self.config.dim)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        view1, view2, view3 = batch.views
        p1, p2, p3 = map(self._predict, batch.views)
        # Algorithm 1 leaves the pairs open that make up the two losses, and whether they are added or averaged:
        # these are our reading of it.
        z1, z2 = self.target(view1), self.target(view2)
        global1, positive_ranks1 = self._contrast(self._neighbor(z1), p2)
        global2, positive_ranks2 = self._contrast(self._neighbor(z2), p1)
        local1, _ = self._contrast(self._parts(view1, batch, 0), p3)
        local3, _ = self._contrast(self._parts(view3, batch, 2), p1)
        # Algorithm 1 enqueues what has become the neighbor of z1; the text, and NNCLR, the embedding itself.
        keys = gather(F.normalize(z1, dim=1))

        share, lam = _share(self.config), self.config.lam
        global_loss, local_loss = share * (global1 + global2), share * (local1 + local3)
        on_global = self.config.weighed == "global"
        total = local_loss + lam * global_loss if on_global else global_loss + lam * local_loss
        values = {
            "global_loss": global_loss.detach(),
            "local_loss": local_loss.detach(),
            **contrastive_accuracy(torch.cat([positive_ranks1, positive_ranks2])),
        }
        return total, values, keys

    def _predict(self, view: Tensor) -> Tensor:
        """Computes the trained network's prediction (B, dim) of a whole view, of length 1."""
        return F.normalize(self.predictor(self.projector(self.encoder(view))), dim=1)

    def _contrast(self, targets: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
        """Computes L(k, p) of algorithm 1: each target's prediction among the batch's. Gradient to p alone."""
        return contrast_in_batch(targets, prediction, temperature=self.config.temperature)

    def _neighbor(self, z: Tensor) -> Tensor:
        """Finds the row of the queue that is nearest to each embedding (B, dim)."""
        index, _ = K.nearest_neighbor(z, self.queue.keys, normalized=True)
        return self.queue.keys[index]  # of length 1

    @torch.no_grad()
    def _parts(self, view: Tensor, batch: Batch, number: int) -> Tensor:
        """Computes c of algorithm 1: a view's combined patches by the stopped network, (B or C(4, k) * B, dim)."""
        encoder, projector = self.stopped.module.children()
        features = combined_features(encoder, view, self.config.combine)
        if self.config.one_embedding:
            features = features.unflatten(0, (-1, len(view)))  # [C(4, k), B, D]
            choice = batch.key(view=number).integers(Stream.COMBINATION, len(features))
            features = features[choice, torch.arange(len(view), device=view.device)]
        return F.normalize(projector(features), dim=1)

    def after_step(self, kept: Tensor, step: int, total_steps: int, skip: Tensor) -> None:
        self.stopped.update(0.0, skip=skip)  # copies the trained networks
        self.queue.enqueue(kept, skip=skip)

    def compiled(self) -> list[nn.Module]:
        return [*super().compiled(), self.stopped.module.get_submodule("0")]

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[MNCLConfig], number: int, view: Tensor, key: Key) -> Tensor | None:
        return None if number == 1 else super().inputs_of_view(recipe, number, view, key)  # the second stays whole

    @classmethod
    def chance_loss(cls, recipe: Recipe[MNCLConfig], num_images: int) -> float:
        return 2 * _share(recipe.method) * (1 + recipe.method.lam) * math.log(recipe.data.batch_size)

    @classmethod
    def check(cls, recipe: Recipe[MNCLConfig], num_images: int) -> None:
        queue_size(recipe.method.queue_size, recipe.data.batch_size, num_images)


def _share(config: MNCLConfig) -> float:
    """Returns the weight of each of the two terms that make up a loss."""
    return 1.0 if config.reduction == "sum" else 0.5
