"""Mean Shift, MSF (Koohpayegani, Tejankar, Pirsiavash 2021, arXiv:2105.07269)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from sslfast import kernels as K
from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count
from sslfast.data import Batch
from sslfast.distributed import gather
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.kernels.nearest_neighbor.op import MAX_K
from sslfast.methods.base import Method
from sslfast.methods.parts.collapse import embedding_std
from sslfast.methods.parts.heads import mlp
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig
from sslfast.methods.parts.queue import Queue, queue_size


@dataclass(config=STRICT)
class MSFConfig(MomentumCopyConfig):
    name: Literal["msf"]
    dim: Count = 512
    """Width of an embedding; in the authors' code a quarter of the encoder's."""
    hidden: Count = 4096
    """Width of the hidden layers of projector and predictor; in the authors' code twice the encoder's."""
    neighbors: Count = 5
    """Number of targets that a prediction is drawn to, its own image's among them; 1: BYOL in one direction."""
    queue_size: Count | None = None
    """Number of earlier targets to find neighbors among; null: an eighth of the images, at most 65536."""


class MSF(Method[MSFConfig, Tensor]):
    """BYOL whose prediction is drawn to the mean of the target and its nearest neighbors among earlier targets.

    The first view is predicted from, the second is the target's. A target is its own nearest neighbor, as in the
    paper, which enqueues it first; those of the batch's other images are found from the next step on, ours.
    """

    Config = MSFConfig
    num_views = 2
    adds_up = True

    def __init__(self, recipe: Recipe[MSFConfig], encoder: Encoder, num_images: int) -> None:
        super().__init__(recipe, encoder, num_images)
        config = self.config
        self.projector = mlp(encoder.feature_dim, config.hidden, config.dim, norm=True)
        self.predictor = mlp(config.dim, config.hidden, config.dim, norm=True)
        self.target = MomentumCopy(nn.Sequential(encoder, self.projector), buffers=config.target_norm)
        self.queue = Queue(queue_size(config.queue_size, recipe.data.batch_size, num_images), config.dim)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        query_view, target_view = batch.views
        prediction = F.normalize(self.predictor(self.projector(self.encoder(query_view))), dim=1)
        target = F.normalize(self.target(target_view), dim=1)
        mean = self._neighbors(target).mean(dim=1)
        # The mean of the squared distances 2 - 2 cos to the neighbors, all of length 1 (equation 1).
        loss = 2 - 2 * (prediction * mean).sum(dim=1).mean()
        return loss, {"std": embedding_std(target)}, gather(target)

    def _neighbors(self, target: Tensor) -> Tensor:
        """Finds the nearest neighbors (B, neighbors, dim) of targets (B, dim), themselves first."""
        if self.config.neighbors == 1:
            return target[:, None]
        nearest, _ = K.nearest_neighbor(target, self.queue.keys, k=self.config.neighbors - 1, normalized=True)
        return torch.cat([target[:, None], self.queue.keys[nearest.view(len(target), -1)]], dim=1)

    def momentum_copy(self) -> MomentumCopy:
        return self.target

    def momentum(self, step: int, total_steps: int) -> float:
        return self.config.momentum_at(step, total_steps)

    def after_step(self, kept: Tensor, step: int, total_steps: int, skip: Tensor) -> None:
        self.queue.enqueue(kept, skip=skip)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, self.target.module.get_submodule("0")]

    @classmethod
    def even_std(cls, recipe: Recipe[MSFConfig]) -> float:
        return float(recipe.method.dim**-0.5)

    @classmethod
    def check(cls, recipe: Recipe[MSFConfig], num_images: int) -> None:
        config = recipe.method
        size = queue_size(config.queue_size, recipe.data.batch_size, num_images)
        most = 1 + min(MAX_K, size)
        if config.neighbors > most:
            raise UsageError(
                f"method.neighbors={config.neighbors}: expected at most {most}, the target and {most - 1} of the "
                f"queue's {size} rows"
            )
