"""The optimizer classes in other trainers' loops: hooks, closures, schedulers, the gradient scaler."""

import copy

import pytest
import torch
from torch.optim import lr_scheduler

from tests.kernels.optimizers.classes import MOMENTUM, OURS, held_and_given, network, set_gradients


def test_other_trainers_loops(name):
    """Lightning and Accelerate call step() and step(closure), under schedulers and hooks and with found_inf."""
    schedulers, calls = {}, []
    for optimizer, momentum in held_and_given(name, [0.8, 0.8, 0.8]):
        if not schedulers:
            optimizer.ema_momentum = momentum
            schedulers[optimizer] = lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
            optimizer.register_step_pre_hook(lambda *args: calls.append("before"))
            optimizer.register_step_post_hook(lambda *args: calls.append("after"))
        optimizer.found_inf = torch.tensor(1.0)
        assert optimizer.step(lambda: 2.5) == 2.5  # changes nothing
        del optimizer.found_inf
        optimizer.step()
        schedulers[optimizer].step()
    assert calls == ["before", "after"] * 6


def test_a_hook_may_give_the_momentum(name):
    for optimizer, momentum in held_and_given(name, [0.8, 0.9]):
        handle = optimizer.register_step_pre_hook(
            lambda _, args, __, value=momentum: (args, {"ema_momentum": value})
        )
        optimizer.step()
        handle.remove()


def test_the_gradient_scaler_of_torch(name):
    """An overflow in the gradients skips the step of everything, and lowers the scale."""
    student, teacher = network(), network(1)
    plain, plain_teacher = copy.deepcopy(student), copy.deepcopy(teacher)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizers = []
    for module, follower in ((student, teacher), (plain, plain_teacher)):
        optimizer = OURS[name](module.parameters())
        optimizer.add_ema(follower.parameters(), module.parameters(), momentum=MOMENTUM)
        optimizers.append(optimizer)
    images = torch.randn(5, 3, 5, 5)
    for factor in (1.0, float("inf"), 1.0):
        optimizers[0].zero_grad()
        scaler.scale(student(images).square().mean() * factor).backward()
        scaler.step(optimizers[0])
        scaler.update()
        if factor == 1.0:
            optimizers[1].zero_grad()
            plain(images).square().mean().backward()
            optimizers[1].step()
    assert scaler.get_scale() == 512.0
    for one, other in ((student, plain), (teacher, plain_teacher)):
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(p, q)


def test_schedulers_and_hooks(name):
    student = network()
    optimizer = OURS[name](student.parameters())
    optimizer.add_ema(network(1).parameters(), student.parameters())
    scheduler, calls = lr_scheduler.StepLR(optimizer, 1, gamma=0.5), []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))
    for _ in range(2):
        set_gradients(student, 0)
        optimizer.step(ema_momentum=MOMENTUM)
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    assert len(calls) == 2


def test_a_closure(name):
    module, images = network(), torch.randn(5, 3, 5, 5)
    optimizer = OURS[name](module.parameters())
    for group in optimizer.param_groups:
        group["lr"] = 0.001

    def closure():
        optimizer.zero_grad()
        loss = module(images).square().mean()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first
