"""The optimizer classes against torch's own, or a plain LARS, followed by ema_update_."""

import copy
import itertools
import math
import pickle
import re

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from sslfast import kernels as K
from sslfast.kernels.optimizers import FusedAdamW, FusedLARS, FusedSGD
from tests.kernels.optimizer_rules import LARS

OURS = {
    "sgd": lambda p, **more: FusedSGD(p, 0.1, **{"momentum": 0.9, "weight_decay": 0.05} | more),
    "lars": lambda p, **more: FusedLARS(p, 0.1, trust_coefficient=0.02, **{"weight_decay": 0.05} | more),
    "adamw": lambda p, **more: FusedAdamW(p, 0.1, **{"weight_decay": 0.05} | more),
}
THEIRS = {
    "sgd": lambda p, **more: torch.optim.SGD(p, 0.1, **{"momentum": 0.9, "weight_decay": 0.05} | more, fused=True),
    "lars": lambda p, **more: LARS(p, 0.1, trust_coefficient=0.02, **{"weight_decay": 0.05} | more),
    "adamw": lambda p, **more: torch.optim.AdamW(p, 0.1, **{"weight_decay": 0.05} | more, fused=True),
}
MOMENTUM = 0.8


@pytest.fixture(params=OURS)
def name(request):
    return request.param


def network(seed=0):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 50), nn.Linear(50, 2)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def set_gradients(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = torch.empty_like(parameter).normal_(generator=generator)


def groups(module):
    wide, narrow = ([p for p in module.parameters() if (p.ndim > 1) == is_wide] for is_wide in (True, False))
    return [{"params": wide}, {"params": narrow, "weight_decay": 0.0, "adapt": False}]


def assert_same(a, b, **tolerance):
    torch.testing.assert_close(a.state_dict(), b.state_dict(), **tolerance)


@pytest.mark.parametrize("impl", ["auto", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_steps_equal_torchs_and_ema_update(name, impl, dtype):
    student, teacher, shadow = network(), network(1).to(dtype), network(2).bfloat16()
    plain, plain_teacher = copy.deepcopy(student), copy.deepcopy(teacher)
    ours, theirs = OURS[name](groups(student), impl=impl), THEIRS[name](groups(plain))
    ours.add_ema(teacher.parameters(), student.parameters())
    ours.add_shadows(shadow.parameters(), student.parameters())
    for step in range(4):
        for module, optimizer in ((student, ours), (plain, theirs)):
            set_gradients(module, step)
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        ours.step(ema_momentum=MOMENTUM)
        theirs.step()
        K.ema_update_(plain_teacher.parameters(), plain.parameters(), MOMENTUM)
    assert_same(student, plain, rtol=1e-5, atol=1e-6)
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 1e-3}
    assert_same(teacher, plain_teacher, **tolerance)
    for p, copied in zip(student.parameters(), shadow.parameters(), strict=True):
        assert torch.equal(copied, p.bfloat16())


@pytest.mark.parametrize("impl", ["auto", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {}),
        ("sgd", {"momentum": 0.0}),
        ("sgd", {"nesterov": True}),
        ("lars", {}),
        ("lars", {"momentum": 0.0}),
        ("adamw", {"eps": 1e-2}),  # below which the rounding of a square would decide
    ],
    ids=str,
)
def test_parameters_of_every_dtype(name, options, dtype, impl):
    """As torch's in fp32 (or fp64), whose weights, states and averages are rounded to the dtype after each step.

    One of the steps is skipped.
    """
    wide = torch.promote_types(dtype, torch.float32)
    student, teacher, shadow = network().to(dtype), network(1).to(dtype), network(2).bfloat16()
    plain, plain_teacher = copy.deepcopy(student).to(wide), copy.deepcopy(teacher).to(wide)
    ours = OURS[name](groups(student), impl=impl, **options)
    theirs = THEIRS[name](groups(plain), **options)
    ours.add_ema(teacher.parameters(), student.parameters(), momentum=MOMENTUM)
    ours.add_shadows(shadow.parameters(), student.parameters())
    for step in range(4):
        ours.found_inf = torch.tensor(float(step == 1))
        set_gradients(student, step)
        ours.step()
        if step == 1:
            continue
        for p, q in zip(student.parameters(), plain.parameters(), strict=True):
            q.grad = p.grad.to(wide)
        theirs.step()
        K.ema_update_(plain_teacher.parameters(), plain.parameters(), MOMENTUM)
        states = (x for p in plain.parameters() for x in theirs.state[p].values() if x is not None)
        with torch.no_grad():
            for x in (*plain.parameters(), *plain_teacher.parameters(), *states):
                x.copy_(x.to(dtype))
    eps = torch.finfo(dtype).eps
    tolerance = {"rtol": max(4 * eps, 1e-6 if name == "lars" else 0), "atol": 4 * eps}
    for tensor, expected in zip(
        (*student.parameters(), *teacher.parameters()),
        (*plain.parameters(), *plain_teacher.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(tensor.to(wide), expected, **tolerance)
    for p, q in zip(student.parameters(), plain.parameters(), strict=True):
        for key, value in ours.state[p].items():
            torch.testing.assert_close(value.to(wide), theirs.state[q][key].to(wide), **tolerance)
    for p, copied in zip(student.parameters(), shadow.parameters(), strict=True):
        assert torch.equal(copied, p.bfloat16())


def test_one_call_a_group(name, record_impls):
    student, teacher = network(), network(1)
    optimizer = OURS[name](groups(student))
    optimizer.add_ema(teacher.parameters(), student.parameters())
    set_gradients(student, 0)
    steps, averages = [record_impls(f"{rule}_ema_step_") for rule in OURS], record_impls("ema_update_")
    optimizer.step(ema_momentum=MOMENTUM)
    assert sum(calls.count("cpp") for calls in steps) == 2
    assert averages == []


def test_what_has_no_gradient_follows_too(name):
    """Frozen parameters, those that a step did not reach, and buffers; and a target may be of a part only."""
    student, teacher = network(), network(1)
    expected = copy.deepcopy(teacher)
    student[0].requires_grad_(False)
    optimizer = OURS[name]([p for p in student.parameters() if p.requires_grad])
    for tensors in (nn.Module.parameters, nn.Module.buffers):
        optimizer.add_ema(tensors(teacher[:4]), tensors(student[:4]))
    set_gradients(student, 0)
    student[3].weight.grad = None
    student[1].running_mean.fill_(3.0)
    student[1].num_batches_tracked.fill_(7)
    before = copy.deepcopy(student[3].weight)
    optimizer.step(ema_momentum=MOMENTUM)
    assert torch.equal(student[3].weight, before)
    for tensors in (nn.Module.parameters, nn.Module.buffers):
        K.ema_update_(tensors(expected[:4]), tensors(student[:4]), MOMENTUM)
    assert_same(teacher, expected)


@pytest.mark.parametrize("skipped", [0, 1], ids=["first step", "later step"])
def test_found_inf_skips_a_step(name, skipped):
    """A run with a skipped step in it equals one that never had the step, bit for bit."""
    runs = []
    for steps in ((0, 1, 2), [step for step in range(3) if step != skipped]):
        student, teacher, shadow = network(), network(1), network(2).bfloat16()
        optimizer = OURS[name](student.parameters())
        optimizer.add_ema([*teacher.parameters(), teacher[1].running_mean], [*student.parameters(), torch.ones(4)])
        optimizer.add_shadows(shadow.parameters(), student.parameters())
        for step in steps:
            set_gradients(student, step)
            bad = step == skipped
            if bad:
                student[0].weight.grad.fill_(float("nan"))
            optimizer.found_inf = torch.tensor(float(bad))
            optimizer.step(ema_momentum=MOMENTUM)
        runs.append([student, teacher, shadow])
    for one, other in zip(*runs, strict=True):
        assert_same(one, other, rtol=0, atol=0)


def test_numbers_in_tensors(name):
    results = []
    for wrap in (float, torch.tensor):
        student, teacher = network(), network(1)
        optimizer = OURS[name](student.parameters())
        optimizer.add_ema(teacher.parameters(), student.parameters())
        for group in optimizer.param_groups:
            group["lr"] = wrap(0.25)
        set_gradients(student, 0)
        optimizer.step(ema_momentum=wrap(0.5))
        results.append((student, teacher))
    for one, other in zip(*results, strict=True):
        assert_same(one, other, rtol=0, atol=0)


def held_and_given(name, steps):
    """Students and teachers whose optimizers hold their momenta, and whose steps are given them."""
    pairs = [(network(), network(1)) for _ in range(2)]
    held, given = (OURS[name](student.parameters()) for student, _ in pairs)
    for optimizer, (student, teacher) in zip((held, given), pairs, strict=True):
        optimizer.add_ema(teacher.parameters(), student.parameters())
    for step, momentum in enumerate(steps):
        for student, _ in pairs:
            set_gradients(student, step)
        yield held, momentum
        given.step(ema_momentum=momentum)
    for one, other in zip(*pairs, strict=True):
        assert_same(one, other, rtol=0, atol=0)


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


REFUSED = {
    "sgd": {"maximize": True, "dampening": 0.1, "differentiable": True},
    "lars": {"maximize": True, "dampening": 0.1, "differentiable": True, "nesterov": True},
    "adamw": {"maximize": True, "amsgrad": True, "differentiable": True, "decoupled_weight_decay": False},
}
NEUTRAL = {"maximize": False, "foreach": True, "fused": None, "capturable": True, "differentiable": False}


@pytest.mark.parametrize(
    ("name", "option", "value"), [(name, *item) for name in REFUSED for item in REFUSED[name].items()]
)
def test_options_that_ask_for_something_else_are_refused(name, option, value):
    """In parameter groups and in state dicts; the optimizer stays what it was."""
    module = network()
    (*parameters, last) = module.parameters()
    optimizer = OURS[name](parameters)
    before = copy.deepcopy(optimizer.state_dict())
    message = (
        rf"^{type(optimizer).__name__}: expected {option}=.*, the only value that it implements, got {value};"
    )
    with pytest.raises(ValueError, match=message):
        OURS[name]([{"params": parameters, option: value}])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [last], option: value})
    other = copy.deepcopy(before)
    other["param_groups"][0] |= {option: value, "lr": 7.0}
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(other)
    assert optimizer.state_dict() == before
    optimizer.param_groups[0][option] = value
    set_gradients(module, 0)
    untouched = copy.deepcopy(module)
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert_same(module, untouched, rtol=0, atol=0)


OUT_OF_RANGE = {
    "sgd": [("lr", -0.1), ("lr", math.nan), ("momentum", -1), ("weight_decay", math.inf), ("nesterov", 0.5)],
    "lars": [("lr", math.inf), ("momentum", math.nan), ("weight_decay", -5), ("trust_coefficient", -1.0)],
    "adamw": [
        ("lr", "fast"),
        ("betas", (1.0, 0.999)),
        ("betas", (0.9, -0.1)),
        ("eps", -1e-8),
        ("weight_decay", -5),
    ],
}


@pytest.mark.parametrize(
    ("name", "option", "value"), [(name, *pair) for name in OUT_OF_RANGE for pair in OUT_OF_RANGE[name]]
)
def test_options_out_of_range_are_refused_wherever_they_enter(name, option, value):
    """In the constructor, in groups, in state dicts, and where a group is changed afterwards: nothing moves."""
    module = network()
    (*parameters, last) = module.parameters()
    cls, message = (
        type(OURS[name](parameters)),
        rf"^Fused\w+: expected {option} to be .*, got {re.escape(repr(value))}$",
    )
    with pytest.raises(ValueError, match=message):
        cls(parameters, **{"lr": 0.1} | {option: value})
    with pytest.raises(ValueError, match=message):
        OURS[name]([{"params": parameters, option: value}])
    optimizer = OURS[name](parameters[1:])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [last], option: value})
    other = copy.deepcopy(optimizer.state_dict())
    other["param_groups"][0][option] = value
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(other)
    optimizer.add_param_group({"params": parameters[:1]})
    optimizer.param_groups[1][option] = value
    set_gradients(module, 0)
    before = copy.deepcopy(module)
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    assert_same(module, before, rtol=0, atol=0)


def test_nesterov_needs_momentum():
    parameters = list(network().parameters())
    with pytest.raises(ValueError, match="^FusedSGD: expected momentum > 0 with nesterov=True, got 0.0$"):
        FusedSGD(parameters, 0.1, nesterov=True)
    optimizer = FusedSGD(parameters, 0.1, momentum=0.9, nesterov=True)
    optimizer.param_groups[0]["momentum"] = 0
    with pytest.raises(ValueError, match="^FusedSGD: expected momentum > 0 with nesterov=True, got 0$"):
        optimizer.step()


def test_an_implementation_that_does_not_exist(name):
    with pytest.raises(ValueError, match="^Fused.*: expected impl to be one of .*, got 'foo'$"):
        OURS[name](network().parameters(), impl="foo")


def test_options_that_ask_for_nothing_else_are_taken(name):
    module, other = network(), network()
    optimizer, expected = OURS[name]([{"params": module.parameters(), **NEUTRAL}]), OURS[name](other.parameters())
    state = expected.state_dict()
    state["param_groups"][0] |= {**NEUTRAL, "amsgrad": False, "dampening": 0, "name": "all"}
    expected.load_state_dict(state)
    assert expected.param_groups[0]["name"] == "all"
    for network_, its_optimizer in ((module, optimizer), (other, expected)):
        set_gradients(network_, 0)
        its_optimizer.step()
    assert_same(module, other, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "source"), [*itertools.permutations(OURS, 2)])
def test_the_state_of_another_optimizer_is_refused(name, source):
    state = THEIRS[source](network().parameters()).state_dict()
    optimizer = OURS[name](network().parameters())
    with pytest.raises(
        ValueError, match=f"^{type(optimizer).__name__}: expected a parameter group with lr, .*, of"
    ):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize("source", ["ours", "theirs"])
@pytest.mark.parametrize("destination", ["ours", "theirs"])
def test_state_dicts_continue_in_either(name, source, destination):
    make = {"ours": OURS[name], "theirs": THEIRS[name]}
    module = network()
    optimizer = make[source](module.parameters())
    for step in range(2):
        set_gradients(module, step)
        optimizer.step()

    other = copy.deepcopy(module)
    resumed = make[destination](other.parameters())
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for network_, its_optimizer in ((module, optimizer), (other, resumed)):
        set_gradients(network_, 2)
        its_optimizer.step()
    assert_same(module, other, rtol=1e-5, atol=1e-6)


def test_adamw_takes_the_state_of_one_that_was_not_fused():
    module = network()
    theirs = torch.optim.AdamW(module.parameters(), 0.1, weight_decay=0.05)
    set_gradients(module, 0)
    theirs.step()
    other = copy.deepcopy(module)
    ours = FusedAdamW(other.parameters())
    state = copy.deepcopy(theirs.state_dict())
    state["state"][0]["step"] = state["state"][0]["step"].item()  # as torch had it before 1.12
    ours.load_state_dict(state)
    for network_, optimizer in ((module, theirs), (other, ours)):
        set_gradients(network_, 1)
        optimizer.step()
    assert_same(module, other, rtol=1e-5, atol=1e-6)


def test_followers_are_no_part_of_the_state_dict(name):
    student = network()
    optimizer = OURS[name](student.parameters())
    keys = [set(group) for group in optimizer.state_dict()["param_groups"]]
    optimizer.add_ema(network(1).parameters(), student.parameters())
    assert [set(group) for group in optimizer.state_dict()["param_groups"]] == keys


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_keep_what_follows(name, duplicate):
    student, teacher = network(), network(1)
    optimizer = OURS[name](student.parameters())
    optimizer.add_ema(teacher.parameters(), student.parameters(), momentum=MOMENTUM)
    others = duplicate((student, teacher, optimizer))
    for s, _, o in ((student, teacher, optimizer), others):
        set_gradients(s, 0)
        o.step()
    assert_same(others[0], student, rtol=0, atol=0)
    assert_same(others[1], teacher, rtol=0, atol=0)


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


def test_gradients_in_bf16(name):
    one, other = network(), network()
    for module in (one, other):
        set_gradients(module, 0)
    for p in one.parameters():
        grad, p.grad = p.grad.bfloat16(), None
        p.grad_dtype = torch.bfloat16
        p.grad = grad
    for p in other.parameters():
        p.grad = p.grad.bfloat16().float()
    for module in (one, other):
        OURS[name](module.parameters()).step()
    assert_same(one, other)


def test_errors():
    module = network()
    optimizer = FusedSGD(module.parameters(), 0.1)
    with pytest.raises(ValueError, match="^add_ema: expected as many tensors as the 8 sources, got 0$"):
        optimizer.add_ema([], module.parameters())
    optimizer.add_ema(network(1).parameters(), module.parameters())
    with pytest.raises(ValueError, match=r"^add_ema: sources\[0\] has one that follows it already$"):
        optimizer.add_ema(network(1).parameters(), module.parameters())
    message = (
        r"^step: expected a momentum for what add_ema added, got None; set .* or pass step\(ema_momentum=\.\.\.\)$"
    )
    with pytest.raises(ValueError, match=message):
        optimizer.step()
    with pytest.raises(ValueError, match=r"expected sources\[0\] of shape \(3,\) to match targets\[0\]"):
        optimizer.add_shadows([torch.ones(3)], [module[0].weight])
