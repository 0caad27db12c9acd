"""Optimizers against plain transcriptions of their formulas; schedules at their key points."""

import copy
import math

import pytest
import torch
from torch import nn

from sslfast.config import OptimConfig
from sslfast.kernels.optimizers import FusedLARS
from sslfast.optim.optimizers import build_optimizer, parameter_groups
from sslfast.optim.schedules import learning_rate, momentum_schedule, scaled_lr, set_learning_rate
from tests.kernels.optimizer_rules import LARS

OPTIMIZERS = ["sgd", "lars", "adamw"]


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 1)]
    network = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2))
    return network.to(memory_format=torch.channels_last)


def set_gradients(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        # Like autograd's, a gradient has its parameter's memory format.
        parameter.grad = torch.empty_like(parameter).normal_(generator=generator)


def lars_step(w, g, v, *, lr, momentum, weight_decay, trust_coefficient, adapt):
    """Takes a step of LARS on one tensor, on the host."""
    d = g + weight_decay * w
    if adapt and w.norm() > 0 and d.norm() > 0:
        d = d * (trust_coefficient * w.norm() / d.norm())
    v = momentum * v + d
    return w - lr * v, v


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_lars_follows_its_formula(module, momentum, exclude):
    config = OptimConfig(
        name="lars",
        lr=0.5,
        momentum=momentum,
        weight_decay=0.1,
        trust_coefficient=0.01,
        exclude_bias_and_norm=exclude,
    )
    optimizer = build_optimizer(module.named_parameters(), config, batch_size=128)
    expected = {name: (p.detach().double(), torch.zeros_like(p).double()) for name, p in module.named_parameters()}
    for step in range(4):
        set_gradients(module, step)
        lr = 0.25 / (step + 1)
        for group in optimizer.param_groups:
            group["lr"] = lr
        for name, parameter in module.named_parameters():
            excluded = exclude and parameter.ndim == 1
            expected[name] = lars_step(
                expected[name][0],
                parameter.grad.double(),
                expected[name][1],
                lr=lr,
                momentum=momentum,
                weight_decay=0.0 if excluded else 0.1,
                trust_coefficient=0.01,
                adapt=not excluded,
            )
        optimizer.step()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), expected[name][0], rtol=1e-5, atol=1e-7)


def test_lars_takes_a_plain_step_where_a_norm_is_zero():
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = FusedLARS([weight], lr=0.1)
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.1))
    weight.grad = torch.zeros(2, 2)  # and no weight decay: momentum alone moves it
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), -0.19))


def test_lars_leaves_gradients_and_unused_parameters_alone(module):
    optimizer = FusedLARS(module.parameters(), lr=0.1, weight_decay=0.1)
    set_gradients(module, 0)
    unused = module[0].weight
    unused.grad = None
    before, gradient = unused.detach().clone(), module[2].weight.grad.clone()
    optimizer.step()
    assert torch.equal(unused, before)
    assert torch.equal(module[2].weight.grad, gradient)


def test_lars_runs_a_closure(module):
    optimizer = FusedLARS(module.parameters(), lr=0.1)
    images = torch.randn(2, 3, 8, 8)

    def closure():
        optimizer.zero_grad()
        loss = module(images).square().mean()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_dict_continues_bit_for_bit(module, name):
    config = OptimConfig(name=name, weight_decay=0.1, exclude_bias_and_norm=True)
    optimizer = build_optimizer(module.named_parameters(), config, 256)
    set_gradients(module, 0)
    optimizer.step()

    other = copy.deepcopy(module)
    resumed = build_optimizer(other.named_parameters(), config, 256)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for network, its_optimizer in ((module, optimizer), (other, resumed)):
        set_gradients(network, 1)
        its_optimizer.step()
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def torchs_optimizer(module, config, batch_size):
    """Builds the optimizer that recipes had before the fused ones: torch's, or LARS by its rule."""
    groups, lr = parameter_groups(module.named_parameters(), config), scaled_lr(config, batch_size)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr, momentum=config.momentum, fused=True)
    if config.name == "lars":
        return LARS(groups, lr, momentum=config.momentum, trust_coefficient=config.trust_coefficient)
    return torch.optim.AdamW(groups, lr, betas=config.betas, fused=True)


@pytest.mark.parametrize("exclude", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps_are_as_near_the_truth_as_torchs(module, name, exclude):
    """The truth is torch's optimizer in fp64; the rate is a schedule's, and biases have their own."""
    config = OptimConfig(
        name=name, lr=0.05, weight_decay=0.01, trust_coefficient=0.01, bias_lr=0.02, exclude_bias_and_norm=exclude
    )
    modules = [module, copy.deepcopy(module), copy.deepcopy(module).double()]
    ours = build_optimizer(module.named_parameters(), config, 512)
    optimizers = [ours, *(torchs_optimizer(other, config, 512) for other in modules[1:])]
    for step in range(20):
        set_gradients(module, step)
        for other, optimizer in zip(modules, optimizers, strict=True):
            for p, q in zip(module.parameters(), other.parameters(), strict=True):
                q.grad = p.grad.to(q.dtype)
            set_learning_rate(optimizer, learning_rate(step, 20, 4, config, peak=0.1), 0.1)
            optimizer.step()
    for got, theirs, truth in zip(*(other.parameters() for other in modules), strict=True):
        error, allowed = ((x.double() - truth).abs().max() for x in (got, theirs))
        assert error <= 2 * allowed + 4 * torch.finfo(torch.float32).eps * truth.abs().max().clamp(min=1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_dicts_of_torchs_optimizers_go_on(module, name):
    """As checkpoints have them that were written before the fused optimizers."""
    config = OptimConfig(name=name, lr=0.05, weight_decay=0.01, bias_lr=0.02, exclude_bias_and_norm=True)
    before = torchs_optimizer(module, config, 256)
    for step in range(3):
        set_gradients(module, step)
        before.step()
    other = copy.deepcopy(module)
    optimizer = build_optimizer(other.named_parameters(), config, 256)
    state = copy.deepcopy(before.state_dict())
    optimizer.load_state_dict(state)
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            assert torch.equal(value, state["state"][index][key])
    for network, its_optimizer in ((module, before), (other, optimizer)):
        set_gradients(network, 3)
        set_learning_rate(its_optimizer, 0.01, 0.05)
        its_optimizer.step()
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_first_step_is_torchs_own(module, name):
    """Momentum that starts at zero changes nothing."""
    config = OptimConfig(name=name, lr=0.1, weight_decay=0.1)
    plain = {
        "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        "lars": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
        "adamw": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1),
    }[name]
    other = copy.deepcopy(module)
    ours, theirs = build_optimizer(module.named_parameters(), config, 256), plain(other.parameters())
    for group in ours.param_groups:
        group["adapt"] = False
    for step in range(2):
        for network, optimizer in ((module, ours), (other, theirs)):
            set_gradients(network, step)
            optimizer.step()
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("skipped", [0, 1], ids=["first step", "later step"])
def test_found_inf_skips_a_step(module, name, skipped):
    """A run with a skipped step in it equals one that never had the step, bit for bit."""
    config = OptimConfig(name=name, weight_decay=0.1)
    other = copy.deepcopy(module)
    optimizer = build_optimizer(module.named_parameters(), config, 256)
    reference = build_optimizer(other.named_parameters(), config, 256)
    for step in range(3):
        set_gradients(module, step)
        optimizer.found_inf = torch.tensor(float(step == skipped))
        if step == skipped:
            for parameter in module.parameters():
                parameter.grad.fill_(math.nan)
        else:
            set_gradients(other, step)
            reference.step()
        optimizer.step()
    for a, b in zip(module.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        for key, value in optimizer.state[a].items():
            assert torch.equal(value, reference.state[b][key])


def test_groups_exclude_biases_and_norms_when_asked(module):
    named = dict(module.named_parameters())
    whole = parameter_groups(named.items(), OptimConfig(weight_decay=0.1))
    assert [(len(group["params"]), group["weight_decay"], group["adapt"]) for group in whole] == [(8, 0.1, True)]

    decayed, excluded = parameter_groups(named.items(), OptimConfig(weight_decay=0.1, exclude_bias_and_norm=True))
    ids = {id(parameter): name for name, parameter in named.items()}
    assert {ids[id(p)] for p in decayed["params"]} == {"0.weight", "2.weight", "5.weight"}
    assert {ids[id(p)] for p in excluded["params"]} == {"0.bias", "1.weight", "1.bias", "2.bias", "5.bias"}
    assert (decayed["weight_decay"], decayed["adapt"]) == (0.1, True)
    assert (excluded["weight_decay"], excluded["adapt"]) == (0.0, False)


def test_biases_may_have_a_rate_of_their_own_and_parts_a_constant_one(module):
    config = OptimConfig(lr=0.2, bias_lr=0.05)
    optimizer = build_optimizer(module.named_parameters(), config, 512, constant_lr=("5",))
    set_learning_rate(optimizer, 0.1, peak=0.4)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    named = {name: rates[id(p)] for name, p in module.named_parameters()}
    assert named == {
        **dict.fromkeys(("0.weight", "2.weight"), 0.1),
        **{name: pytest.approx(0.025) for name in ("0.bias", "1.weight", "1.bias", "2.bias")},
        "5.weight": 0.4,
        "5.bias": pytest.approx(0.1),
    }
    assert all(group["adapt"] and group["weight_decay"] == config.weight_decay for group in optimizer.param_groups)


def test_groups_leave_out_what_is_not_trained(module):
    module[0].requires_grad_(False)
    (group,) = parameter_groups(module.named_parameters(), OptimConfig())
    assert {id(p) for p in group["params"]}.isdisjoint(id(p) for p in module[0].parameters())


def test_learning_rate_scales_with_the_batch(module):
    config = OptimConfig(lr=0.03)
    assert scaled_lr(config, 256) == 0.03
    optimizer = build_optimizer(module.named_parameters(), config, 1024)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.12)


def test_learning_rate_at_its_key_points():
    def rate(step):
        return learning_rate(step, 110, 10, OptimConfig(final_lr=0.25), peak=2.0)

    assert [rate(0), rate(5), rate(10)] == [0.0, 1.0, 2.0]
    assert rate(60) == pytest.approx(1.25)  # half-way down
    assert rate(110) == pytest.approx(0.5)
    falling = [rate(step) for step in range(10, 111)]
    assert falling == sorted(falling, reverse=True)


def test_learning_rate_may_fall_in_steps():
    config = OptimConfig(schedule="steps", step_at=(0.5, 0.75), step_factor=0.5)
    rates = [learning_rate(step, 8, 1, config, peak=2.0) for step in range(8)]
    assert rates == [0.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.5, 0.5]


def test_learning_rate_without_warmup_starts_at_the_peak():
    assert learning_rate(0, 100, 0, OptimConfig(), peak=2.0) == 2.0


def test_learning_rate_of_a_training_shorter_than_its_warmup_only_rises():
    assert [learning_rate(step, 2, 4, OptimConfig(), peak=1.0) for step in range(2)] == [0.0, 0.25]


def test_momentum_schedules():
    assert momentum_schedule(70, 100, 0.99, "constant") == 0.99
    assert momentum_schedule(0, 100, 0.99, "cosine") == pytest.approx(0.99)
    assert momentum_schedule(50, 100, 0.99, "cosine") == pytest.approx(0.995)
    assert momentum_schedule(100, 100, 0.99, "cosine") == 1.0
