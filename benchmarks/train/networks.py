"""The forward and backward passes of a training step's networks, without the rest of the step.

One step is taken with hooks on the method's modules. They keep each outermost call of one that has parameters (the
encoder, a head, a momentum network), with its inputs and the gradient that its outputs receive. These calls can
then be made again and timed: what a step takes beyond them is the loss, the optimizer, moving averages, queues and
the step's own work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from sslfast.data import Batch
from sslfast.train.step import TrainStep


@dataclass
class Call:
    """A call of a module in a step, which can be made again."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    with_gradient: bool  # whether autograd was on
    gradients: dict[int, Tensor] = field(default_factory=dict)  # by the output's number among the tensors returned

    def again(self) -> list[Any]:
        """Makes the call on inputs that are leaves, and returns its tensors."""
        args, kwargs = tree_map_only(Tensor, _leaf, (self.args, self.kwargs))
        with torch.set_grad_enabled(self.with_gradient):
            return tree_leaves(self.module(*args, **kwargs))


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_(x.requires_grad)


def networks_alone(train_step: TrainStep, batch: Batch) -> Callable[[], None]:
    """Takes a step, and returns a function that makes its networks' calls again, forward and backward.

    Compile the networks after this call, not before: what is compiled runs no hooks.
    """
    calls = record_calls(train_step, batch)

    def step() -> None:
        train_step.optimizer.zero_grad()
        with train_step.autocast():
            returned = [(call, call.again()) for call in calls]
        pairs = [(tensors[i], gradient) for call, tensors in returned for i, gradient in call.gradients.items()]
        outputs, gradients = zip(*pairs, strict=True)
        torch.autograd.backward(outputs, gradients)

    return step


def record_calls(train_step: TrainStep, batch: Batch) -> list[Call]:
    """Takes a step, and returns the outermost calls of the method's networks in it."""
    calls: list[Call] = []
    depth = 0

    def enter(*_: Any) -> None:
        nonlocal depth
        depth += 1

    def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        nonlocal depth
        depth -= 1
        if depth:
            return
        call = Call(module, args, kwargs, torch.is_grad_enabled())
        calls.append(call)
        for number, tensor in enumerate(tree_leaves(output)):
            if isinstance(tensor, Tensor) and tensor.requires_grad:
                tensor.register_hook(lambda gradient, number=number: call.gradients.update({number: gradient}))

    networks = [
        m for m in train_step.method.modules() if m is not train_step.method and any(True for _ in m.parameters())
    ]
    handles = [network.register_forward_pre_hook(enter) for network in networks]
    handles += [network.register_forward_hook(leave, with_kwargs=True) for network in networks]
    train_step(batch)
    for handle in handles:
        handle.remove()
    return calls
