"""The part of a step after the gradient, timed alone."""

import copy

import torch
from torch.utils._pytree import tree_leaves

from sslfast.benchmarks.measure.timing import timed_part
from sslfast.benchmarks.train.update import Update


def tensors(state):
    return [leaf.clone() for leaf in tree_leaves(state) if isinstance(leaf, torch.Tensor)]


def test_a_step_in_two_parts_is_the_step(train_step, batch):
    in_parts = copy.deepcopy(train_step)
    for step in (train_step, Update(in_parts, batch)):
        torch.manual_seed(0)
        for _ in range(3):
            step() if isinstance(step, Update) else step(batch)
    assert in_parts.steps_done == train_step.steps_done == 3
    states = tensors(train_step.state_dict()), tensors(in_parts.state_dict())
    assert len(states[0]) > 60
    for whole, parts in zip(*states, strict=True):
        assert torch.equal(whole, parts)


def test_momentum_and_queue_move_in_the_part_that_is_timed(train_step, batch):
    state, queue = train_step.optimizer.state_dict()["state"], train_step.method.queue.keys
    momentum, keys = tensors(state), queue.clone()
    rest = timed_part(Update(train_step, batch))
    assert all(p.grad is not None for p in train_step.method.encoder.parameters())
    assert all(torch.equal(*pair) for pair in zip(tensors(state), momentum, strict=True))
    assert torch.equal(queue, keys)
    rest()
    assert not any(torch.equal(*pair) for pair in zip(tensors(state), momentum, strict=True))
    assert not torch.equal(queue, keys)
