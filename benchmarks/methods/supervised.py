"""The supervised run of `make methods-check`: the encoder under a linear classifier, trained on the labels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from sslfast.benchmarks.methods.short import SupervisedRecipe
from sslfast.data import Batch, LoaderSpec, Source, make_loader
from sslfast.encoders import build_encoder
from sslfast.optim.optimizers import build_optimizer
from sslfast.optim.schedules import learning_rate, scaled_lr, set_learning_rate
from sslfast.random.generators import seed_everything


class SupervisedTrainer:
    """The steps of a `Trainer`, in its precision, without its guard, log and checkpoints."""

    def __init__(
        self, recipe: SupervisedRecipe, train_set: Source, device: torch.device, seed: int, epochs: int
    ) -> None:
        seed_everything(seed)
        self.recipe, self.device, self.epochs = recipe, device, epochs
        self.loader = make_loader(LoaderSpec(train_set, recipe.data, seed, device))
        self.encoder = build_encoder(recipe.encoder)
        self.network = nn.Sequential(self.encoder, nn.Linear(self.encoder.feature_dim, len(train_set.classes)))
        self.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cuda":
            self.encoder.compile(dynamic=False)
        self.optimizer = build_optimizer(self.network.named_parameters(), recipe.optim, recipe.data.batch_size)
        self.peak_lr = scaled_lr(recipe.optim, recipe.data.batch_size)
        self.step = 0

    def fit(self) -> None:
        for batch in self.batches():
            self.train_step(batch)

    def batches(self) -> Iterator[Batch]:
        for epoch in range(self.epochs):
            yield from self.loader.epoch(epoch)

    def train_step(self, batch: Batch) -> None:
        total = self.epochs * self.loader.steps_per_epoch
        lr = learning_rate(self.step, total, 0, self.recipe.optim, self.peak_lr)
        set_learning_rate(self.optimizer, lr, self.peak_lr)
        assert batch.label is not None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = F.cross_entropy(self.network(batch.views[0]), batch.label)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
