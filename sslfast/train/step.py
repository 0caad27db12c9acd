"""The training step: from the views of a batch to the weights of the next step, without a run on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import Tensor

from sslfast.config import Recipe
from sslfast.data import Batch, Loader, LoaderSpec, Source, make_loader
from sslfast.device import DTYPES, choose_precision
from sslfast.distributed import average_, rank, world_size
from sslfast.encoders import Encoder, build_encoder, try_encoder
from sslfast.encoders.norm import synchronized
from sslfast.errors import UsageError
from sslfast.methods import METHODS, Method
from sslfast.optim.optimizers import build_optimizer
from sslfast.optim.schedules import learning_rate, scaled_lr, set_learning_rate
from sslfast.random.generators import seed_everything
from sslfast.recipes.check import check_source
from sslfast.recipes.load import with_precision
from sslfast.run.fits import check_bounds, check_like, check_optimizer, check_scaler
from sslfast.train.blocks import checkpoint_blocks, compile_networks
from sslfast.train.exchange import weights_over_ranks
from sslfast.train.guard import FiniteGuard


def build_step(
    recipe: Recipe, train_set: Source, device: torch.device, initial: Mapping[str, Tensor] | None = None
) -> tuple[TrainStep, Loader]:
    """Builds the step of a recipe, and the loader of this process's part of its batches.

    Args:
        recipe: what to train.
        train_set: the images to train on.
        device: where to train.
        initial: as of `build_method`.

    Raises:
        UsageError: settings or images that cannot work together.
    """
    recipe = with_precision(recipe)
    dtype = DTYPES[choose_precision(recipe.train.precision, device.type)]
    spec = LoaderSpec(train_set, recipe.data, recipe.train.seed, device, rank(), world_size(), dtype)
    loader = make_loader(spec)
    check_source(recipe, train_set)
    recipe = METHODS[recipe.method.name].of_images(recipe, train_set)
    method = build_method(recipe, len(train_set), device, initial)
    return TrainStep(method, recipe, loader.steps_per_epoch), loader


def build_method(
    recipe: Recipe, num_images: int, device: torch.device, initial: Mapping[str, Tensor] | None = None
) -> Method:
    """Builds the method of a recipe with its initial weights, on the device, and compiled if the recipe says so.

    Seeds all random generators, so that random weights are those of `train.seed`.

    Args:
        recipe: what to train.
        num_images: how many images there are to train on.
        device: where to train.
        initial: the encoder's state to begin with; None: random weights.

    Raises:
        UsageError: settings that cannot work together, or with so many images.
    """
    seed_everything(recipe.train.seed)
    kind = METHODS[recipe.method.name]
    kind.check(recipe, num_images)
    data = recipe.data
    encoder = build_encoder(recipe.encoder, data.channels, mean=data.mean, std=data.std, side=data.size)
    if initial is not None:  # before the method copies the encoder
        encoder.load_state_dict(initial)
    sides = {data.size, *kind.sides(recipe)}
    try_encoder(encoder, recipe.encoder, sides, channels=data.channels, dense=kind.needs_map)
    method = kind(recipe, encoder, num_images)
    if recipe.encoder.norm == "sync" and world_size() > 1:
        method = cast(Method, synchronized(method, device))
    method.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cuda" if recipe.train.compile is None else recipe.train.compile:
        compile_networks(method.compiled(), recipe.train)
    if recipe.train.checkpointing:
        checkpoint_blocks(method.encoder, recipe.encoder)
    return method


class TrainStep:
    """The step of a training, and all that moves from one to the next.

        train_step, loader = build_step(recipe, train_set, device)
        for epoch in range(recipe.train.epochs):
            train_step.method.start_epoch(epoch, embed)
            for batch in loader.epoch(epoch):
                values = train_step(batch)

    Views -> encoder -> heads -> the method's loss (a fused op) -> gradient -> optimizer, moving averages, queue. A
    step whose loss or gradient is not finite changes nothing (`FiniteGuard`). Of several processes each takes its
    rows of a batch, and all have the same weights after it.

    Args:
        method: what to train, on its device, as `build_method` gives it.
        recipe: what is trained; the step reads its `optim` and `train` sections, and the batch size, by which the
            learning rate is scaled.
        steps_per_epoch: batches of an epoch.

    Attributes:
        optimizer, guard: of the method's parameters.
        device: the method's.
        precision: in which the loss is computed: fp32, or bf16 or fp16, under autocast.
        scaler: multiplies the loss where that is fp16, so that small gradients do not become 0 there; its scale
            falls in a step whose gradient is then not finite, which is skipped.
        steps_done: how many steps were taken, skipped ones included.
        total_steps: those of the whole training.

    Raises:
        UsageError: the learning rate is 0 in every step.
    """

    def __init__(self, method: Method, recipe: Recipe, steps_per_epoch: int) -> None:
        self.method, self.recipe = method, recipe
        self.weights = weights_over_ranks(method, recipe.train)
        self.device = next(method.parameters()).device
        batch_size = recipe.data.batch_size
        parameters = self.weights.named_parameters()
        self.optimizer = build_optimizer(parameters, recipe.optim, batch_size, method.constant_lr)
        if (momentum_copy := method.momentum_copy()) is not None:
            self.optimizer.add_ema(*map(self.weights.local, momentum_copy.pairs()))
        self.guard = FiniteGuard(method, self.optimizer, recipe.optim.clip_norm, self.weights.total_norm)
        self.precision = choose_precision(recipe.train.precision, self.device.type)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.peak_lr = scaled_lr(recipe.optim, batch_size)
        self.warmup_steps = round(recipe.optim.warmup_epochs * steps_per_epoch)
        self.total_steps = recipe.train.epochs * steps_per_epoch
        if self.total_steps == 1 and self.warmup_steps:
            raise UsageError(
                f"optim.warmup_epochs={recipe.optim.warmup_epochs:g}: the run's only step would have a learning "
                "rate of 0; set optim.warmup_epochs=0, or a larger train.epochs"
            )
        self.steps_done = 0

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Takes a step.

        Returns:
            The loss and the method's further values, scalars on the device, for which nothing here waits.
        """
        self.guard.remember()
        loss, values, kept = self.backward(batch)
        self.update(loss, kept)
        return {"loss": loss, **values}

    def backward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], list[Any]]:
        """Computes the loss and its gradients, the means over the ranks and over the parts of a batch.

        Returns:
            The loss, without gradient, the method's further values, and for each part what `Method.loss` keeps.
        """
        self.method.zero_grad()
        *others, last = batch.parts(self.recipe.train.accumulate)
        results = []
        for part in others:
            with self.weights.kept_apart():
                results.append(self._backward(part))
        results.append(self._backward(last))
        self.weights.take_gradients()
        losses, values, kept = zip(*results, strict=True)
        loss = _mean(losses)
        if world_size() > 1:  # what is not finite on one rank is so on none, and all skip the step
            average_([loss, *self.guard.statistics])
        return loss, {name: _mean([each[name] for each in values]) for name in values[0]}, list(kept)

    def _backward(self, part: Batch) -> tuple[Tensor, dict[str, Tensor], Any]:
        """Adds the gradients of a part of a batch to those of the others."""
        with self.autocast():
            loss, values, kept = self.weights.loss(part)
        # In fp32: in fp16 a scaled loss of more than 65,504 would be infinite.
        self.scaler.scale(loss.float() / self.recipe.train.accumulate).backward()
        return loss.detach(), values, kept

    def update(self, loss: Tensor, kept: list[Any]) -> None:
        """Moves all that a step moves, by the gradients and by what the loss kept, unless they are not finite."""
        self.scaler.unscale_(self.optimizer)
        scale = self.scaler.scale(torch.ones_like(loss)) if self.scaler.is_enabled() else None
        skip = self.guard.decide(loss, scale)
        self.scaler.update()
        set_learning_rate(self.optimizer, self.learning_rate(self.steps_done), self.peak_lr)
        self.optimizer.step(ema_momentum=self.method.momentum(self.steps_done, self.total_steps))
        for of_part in kept:
            self.method.after_step(of_part, self.steps_done, self.total_steps, skip)
        self.steps_done += 1

    def autocast(self) -> AbstractContextManager[Any]:
        """Returns the context in which the loss is computed: in the step's precision."""
        return torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32")

    def loss_scale(self) -> dict[str, float]:
        """Returns the scale of the loss by its name in metrics.jsonl, where there is one; waits for the device."""
        return {"loss_scale": self.scaler.get_scale()} if self.scaler.is_enabled() else {}

    def learning_rate(self, step: int) -> float:
        """Returns the learning rate of a step, counted from 0, before a parameter group's own scale."""
        return learning_rate(step, self.total_steps, self.warmup_steps, self.recipe.optim, self.peak_lr)

    def encoder(self) -> Encoder:
        """Returns the encoder that trains, with whole weights; all ranks ask at the same points."""
        return self.weights.encoder(self.recipe)

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values: all that the next step depends on but the random generators' states.

        All ranks ask at the same points. Under `train.parallel=fsdp` rank 0 alone gets all of it.
        """
        method, optimizer = self.weights.state_dicts(self.optimizer)
        return {
            "step": self.steps_done,
            "method": method,
            "optimizer": optimizer,
            "guard": self.guard.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a `state_dict`, whose other keys are passed over.

        Raises:
            ValueError: it is of other networks or of another optimizer, or holds values that cannot be, such as a
                queue's pointer beyond the queue; the message begins with the key. The step is then not to be used.
        """
        check_like(state["method"], self.method.state_dict(), "method")
        parameters = self.weights.parameters_of(self.optimizer)
        check_optimizer(state["optimizer"], self.optimizer, "optimizer", parameters)
        check_like(state["guard"], self.guard.state_dict(), "guard")
        for name, count in state["guard"].items():
            if count < 0:
                raise ValueError(f"guard.{name}: expected a count, got {count}")
        scaler = state.get("scaler", {})  # which runs had not before there was fp16
        check_scaler(scaler, self.scaler, "scaler")
        if state["step"] > self.total_steps:
            raise ValueError(f"step: expected at most {self.total_steps}, got {state['step']}")
        self.weights.load_state_dicts(state["method"], self.optimizer, state["optimizer"])
        check_bounds(self.method, "method")
        self.guard.load_state_dict(state["guard"])
        self.scaler.load_state_dict(scaler)
        self.steps_done = state["step"]


def _mean(scalars: Sequence[Tensor]) -> Tensor:
    return scalars[0] if len(scalars) == 1 else torch.stack(tuple(scalars)).mean()
