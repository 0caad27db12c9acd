"""lightly's forms of the methods, after the examples in its documentation."""

from __future__ import annotations

import copy
from abc import ABC
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightly.loss import BarlowTwinsLoss, NegativeCosineSimilarity, NTXentLoss, SwaVLoss
from lightly.models.modules import NNMemoryBankModule, SwaVPrototypes
from lightly.models.modules.memory_bank import MemoryBankModule
from lightly.models.utils import batch_shuffle, batch_unshuffle, select_most_similar, update_momentum
from lightly.utils.lars import LARS
from torch import Tensor, nn
from torch.optim import Optimizer

from sslfast.benchmarks.train.peers import Peer, momentum_copy
from sslfast.config import OptimConfig


class LightlyPeer(Peer, ABC):
    @staticmethod
    def lars(parameters: Sequence[nn.Parameter], lr: float, config: OptimConfig) -> Optimizer:
        return LARS(parameters, lr, momentum=config.momentum, weight_decay=config.weight_decay)


class SimCLR(LightlyPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.head)
        self.criterion = NTXentLoss(self.config.temperature)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        return self.criterion(*(self.network(view) for view in views))


class MoCo(LightlyPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.head)
        self.key_network = momentum_copy(self.network)
        self.criterion = NTXentLoss(self.config.temperature, (method.queue.size, self.config.dim))

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        view1, view2 = views
        loss = self.one_way(view1, view2)
        return (loss + self.one_way(view2, view1)) / 2 if self.config.symmetric else loss

    @torch.no_grad()
    def key(self, view: Tensor) -> Tensor:
        shuffled, order = batch_shuffle(view)
        return batch_unshuffle(self.key_network(shuffled), order)

    def one_way(self, query: Tensor, key: Tensor) -> Tensor:
        return self.criterion(self.network(query), self.key(key))

    def after_step(self) -> None:
        update_momentum(self.network, self.key_network, self.config.momentum)


class DenseCL(MoCo):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.dense_criterion = copy.deepcopy(self.criterion)

    def embed(self, network: nn.Module, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes features of pixels, the global embedding, embeddings of pixels."""
        encoder, heads = network.children()
        head, dense_head = heads.children()
        pixels = encoder(view, dense=True).flatten(2).mT
        return pixels, head(pixels.mean(1)), dense_head(pixels)

    def one_way(self, query: Tensor, key: Tensor) -> Tensor:
        query_pixels, query_global, query_dense = self.embed(self.network, query)
        with torch.no_grad():
            key_pixels, key_global, key_dense = self.embed(self.key_network, key)
        key_dense = select_most_similar(query_pixels, key_pixels, key_dense)
        dense_loss = self.dense_criterion(query_dense.flatten(0, 1), key_dense.flatten(0, 1))
        return (1 - self.config.lam) * self.criterion(query_global, key_global) + self.config.lam * dense_loss


class SimSiam(LightlyPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.projector)
        self.predictor = method.predictor
        self.criterion = NegativeCosineSimilarity()

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        z1, z2 = (self.network(view) for view in views)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        return (self.criterion(p1, z2.detach()) + self.criterion(p2, z1.detach())) / 2


class BYOL(SimSiam):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.target = momentum_copy(self.network)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        p1, p2 = (self.predictor(self.network(view)) for view in views)
        with torch.no_grad():
            z1, z2 = (self.target(view) for view in views)
        return (self.criterion(p1, z2) + self.criterion(p2, z1)) / 2

    def after_step(self) -> None:
        update_momentum(self.network, self.target, self.config.momentum)


class NNCLR(LightlyPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.projector)
        self.predictor = method.predictor
        self.bank = NNMemoryBankModule((method.queue.size, self.config.dim))
        self.criterion = NTXentLoss(self.config.temperature)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        z1, z2 = (self.network(view) for view in views)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        n1, n2 = self.bank(z1.detach(), update=False), self.bank(z2.detach(), update=True)
        return (self.criterion(n1, p2) + self.criterion(n2, p1)) / 2


class BarlowTwins(LightlyPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.projector)
        self.criterion = BarlowTwinsLoss(self.config.lambd)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        return self.criterion(*(self.network(view) for view in views))


class SwAV(LightlyPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        config = self.config
        self.network = nn.Sequential(method.encoder, method.head)
        self.prototypes = SwaVPrototypes(config.dim, config.prototypes)
        self.criterion = SwaVLoss(config.temperature, config.iterations, config.epsilon)
        queues = config.global_crops if config.queue_size else 0
        self.queues = nn.ModuleList(MemoryBankModule((config.queue_size, config.dim)) for _ in range(queues))

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        self.prototypes.normalize()
        embeddings = [F.normalize(self.network(view), dim=1) for view in views]
        scores = [self.prototypes(embedding) for embedding in embeddings]
        with torch.no_grad():
            queued = [queue(z, update=True)[1].T for queue, z in zip(self.queues, embeddings, strict=False)]
            queue_scores = [self.prototypes(z) for z in queued] or None
        count = self.config.global_crops
        return self.criterion(scores[:count], scores[count:], queue_scores)


FORMS: dict[str, type[Peer]] = {
    "barlow_twins": BarlowTwins,
    "byol": BYOL,
    "densecl": DenseCL,
    "moco_v1": MoCo,
    "moco_v2": MoCo,
    "nnclr": NNCLR,
    "simclr": SimCLR,
    "simsiam": SimSiam,
    "swav": SwAV,
}
