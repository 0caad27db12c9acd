"""The momentum of the moving averages: held by the optimizer, or given with a step."""

import pytest
import torch

from tests.kernels.optimizers.classes import OURS, held_and_given, network


@pytest.mark.parametrize("wrap", [float, torch.tensor])
def test_the_optimizer_holds_the_momentum(name, wrap):
    """It may be set anew between steps."""
    for optimizer, momentum in held_and_given(name, [wrap(0.8), wrap(0.9), wrap(0.0), wrap(1.0)]):
        optimizer.ema_momentum = momentum
        optimizer.step()
        assert optimizer.ema_momentum is momentum


def test_a_momentum_in_a_tensor_may_be_changed_in_place(name):
    momentum = torch.tensor(0.5)
    for optimizer, value in held_and_given(name, [0.5, 0.25]):
        optimizer.ema_momentum = momentum.fill_(value)
        optimizer.step()


def test_a_step_that_is_given_a_momentum_leaves_the_one_held(name):
    for optimizer, momentum in held_and_given(name, [0.8, 0.9]):
        optimizer.ema_momentum = 0.1
        optimizer.step(ema_momentum=momentum)
        assert optimizer.ema_momentum == 0.1


def test_add_ema_takes_the_momentum_along(name):
    student = network()
    optimizer = OURS[name](student.parameters())
    assert optimizer.ema_momentum is None
    optimizer.add_ema(network(1).parameters(), student.parameters(), momentum=0.9)
    assert optimizer.ema_momentum == 0.9
    optimizer.add_ema(network(1).buffers(), student.buffers())
    assert optimizer.ema_momentum == 0.9
