"""The optimizer classes against torch's own, or this project's LARS, followed by ema_update_."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from sslfast import kernels as K
from sslfast.kernels.optimizers import FusedAdamW, FusedLARS, FusedSGD
from sslfast.optim.optimizers import LARS

OURS = {
    "sgd": lambda p, **more: FusedSGD(p, 0.1, momentum=0.9, **{"weight_decay": 0.05} | more),
    "lars": lambda p, **more: FusedLARS(p, 0.1, trust_coefficient=0.02, **{"weight_decay": 0.05} | more),
    "adamw": lambda p, **more: FusedAdamW(p, 0.1, **{"weight_decay": 0.05} | more),
}
THEIRS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.05, fused=True),
    "lars": lambda p: LARS(p, 0.1, trust_coefficient=0.02, weight_decay=0.05),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.05, fused=True),
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
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
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
    optimizer.add_ema(teacher.parameters(), student.parameters())
    others = duplicate((student, teacher, optimizer))
    for s, _, o in ((student, teacher, optimizer), others):
        set_gradients(s, 0)
        o.step(ema_momentum=MOMENTUM)
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
    with pytest.raises(ValueError, match="^step: expected an ema_momentum for what add_ema added, got None$"):
        optimizer.step()
    with pytest.raises(ValueError, match=r"expected sources\[0\] of shape \(3,\) to match targets\[0\]"):
        optimizer.add_shadows([torch.ones(3)], [module[0].weight])
