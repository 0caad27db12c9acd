"""Steps of the optimizer classes equal torch's own, or a plain LARS's, followed by ema_update_."""

import copy

import pytest
import torch
from torch import nn

from sslfast import kernels as K
from sslfast.kernels.optimizers import FusedSGD
from tests.kernels.optimizers.classes import MOMENTUM, OURS, THEIRS, assert_same, groups, network, set_gradients


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
