"""solo-learn's forms of the methods, for its version 1.0.2, the one on PyPI.

Its methods are modules of a lightning trainer that build their own encoder and train a classifier beside it. What
stands here are their steps without that, from its losses, queues and moving averages. Its SwAV and DeepCluster v2
are left out: they take two crops of an image and no small ones.

Its requirements name torch 1.9, but it runs with today's:

    pip install --no-deps solo-learn==1.0.2 pytorch-lightning==1.9.5 lightning-bolts==0.7.0 torchmetrics==0.11.4
    pip install lightning-utilities einops timm wandb
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from solo.losses import (
    barlow_loss_func,
    byol_loss_func,
    moco_loss_func,
    nnclr_loss_func,
    simclr_loss_func,
    simsiam_loss_func,
)
from solo.methods import NNCLR as SoloNNCLR
from solo.methods import MoCoV2Plus
from solo.utils.lars import LARSWrapper
from solo.utils.momentum import MomentumUpdater
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from sslfast.benchmarks.train.peers import Peer, momentum_copy
from sslfast.config import OptimConfig


class SoloPeer(Peer, ABC):
    @staticmethod
    def lars(parameters: Sequence[nn.Parameter], lr: float, config: OptimConfig) -> Optimizer:
        return LARSWrapper(SGD(parameters, lr, momentum=config.momentum, weight_decay=config.weight_decay))


class SimCLR(SoloPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.head)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        return simclr_loss_func(*(self.network(view) for view in views), self.config.temperature)


class BarlowTwins(SoloPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.projector)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        return barlow_loss_func(*(self.network(view) for view in views), self.config.lambd, scale_loss=1)


class SimSiam(SoloPeer):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.projector)
        self.predictor = method.predictor

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        z1, z2 = (self.network(view) for view in views)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        return simsiam_loss_func(p1, z2) / 2 + simsiam_loss_func(p2, z1) / 2


class BYOL(SimSiam):
    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.target = momentum_copy(self.network)
        self.average = constant_average(self.config.momentum)

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        p1, p2 = (self.predictor(self.network(view)) for view in views)
        with torch.no_grad():
            z1, z2 = (self.target(view) for view in views)
        return byol_loss_func(p2, z1) + byol_loss_func(p1, z2)

    def after_step(self) -> None:
        self.average.update(self.network, self.target)


class NNCLR(SimSiam):
    find_nn = SoloNNCLR.find_nn
    dequeue_and_enqueue = SoloNNCLR.dequeue_and_enqueue
    queue_y: Tensor

    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.queue_size = method.queue.size
        self.register_buffer("queue", method.queue.keys)
        self.register_buffer("queue_y", -torch.ones(self.queue_size, dtype=torch.long))  # labels, which it logs
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        z1, z2 = (self.network(view) for view in views)
        p1, p2 = self.predictor(z1), self.predictor(z2)
        z1, z2 = F.normalize(z1, dim=-1), F.normalize(z2, dim=-1)
        (_, n1), (_, n2) = self.find_nn(z1), self.find_nn(z2)
        t = self.config.temperature
        loss = nnclr_loss_func(n1, p2, temperature=t) / 2 + nnclr_loss_func(n2, p1, temperature=t) / 2
        self.dequeue_and_enqueue(z1, self.queue_y[: len(z1)])
        return loss


class MoCo(SoloPeer):
    """solo-learn's MoCo v2+, with a queue for each direction; one direction alone, where our method has one."""

    _dequeue_and_enqueue = MoCoV2Plus._dequeue_and_enqueue
    queue: Tensor

    def __init__(self, method: Any) -> None:
        super().__init__(method)
        self.network = nn.Sequential(method.encoder, method.head)
        self.key_network = momentum_copy(self.network)
        self.average = constant_average(self.config.momentum)
        self.queue_size = method.queue.size
        directions = 2 if self.config.symmetric else 1
        self.register_buffer("queue", method.queue.keys.T.repeat(directions, 1, 1))
        self.register_buffer("queue_ptr", torch.zeros(1, dtype=torch.long))

    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        directions = [views, views[::-1]][: len(self.queue)]
        queries = [F.normalize(self.network(query), dim=-1) for query, _ in directions]
        with torch.no_grad():
            keys = [F.normalize(self.key_network(key), dim=-1) for _, key in directions]
        queues = self.queue.clone().detach()
        losses = [
            moco_loss_func(query, key, queue, self.config.temperature)
            for query, key, queue in zip(queries, keys, queues, strict=True)
        ]
        self._dequeue_and_enqueue(torch.stack(keys))
        return torch.stack(losses).mean()

    def after_step(self) -> None:
        self.average.update(self.network, self.key_network)


def constant_average(momentum: float) -> MomentumUpdater:
    return MomentumUpdater(momentum, momentum)


FORMS: dict[str, type[Peer]] = {
    "barlow_twins": BarlowTwins,
    "byol": BYOL,
    "moco_v1": MoCo,
    "moco_v2": MoCo,
    "nnclr": NNCLR,
    "simclr": SimCLR,
    "simsiam": SimSiam,
}
