"""A step whose loss or gradient is not finite leaves everything as it was."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sslfast.config import OptimConfig
from sslfast.methods.parts.queue import Queue
from sslfast.optim.optimizers import build_optimizer
from sslfast.train.guard import FiniteGuard


class Run:
    """A network with batch normalization, its optimizer and its guard."""

    def __init__(self, name: str = "sgd", clip_norm: float | None = None) -> None:
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        self.optimizer = build_optimizer(self.module.named_parameters(), OptimConfig(name=name, lr=0.1), 256)
        self.guard = FiniteGuard(self.module, self.optimizer, clip_norm)

    def step(self, inputs: torch.Tensor, factor: float = 1.0) -> torch.Tensor:
        self.guard.remember()
        loss = self.module(inputs).square().mean() * factor
        self.optimizer.zero_grad()
        loss.backward()
        skip = self.guard.decide(loss)
        self.optimizer.step()
        return skip

    def state(self) -> dict[str, torch.Tensor]:
        """Copies all that a step may move, less the count of batches."""
        state = {k: v.clone() for k, v in self.module.state_dict().items() if "num_batches" not in k}
        for index, values in self.optimizer.state_dict()["state"].items():
            state |= {f"{index}.{key}": value.clone() for key, value in values.items()}
        return state


def good(seed: int) -> torch.Tensor:
    return torch.randn(16, 4, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


BAD = {
    "nan in the data": lambda run: run.step(torch.full((16, 4), math.nan)),
    "infinity in the data": lambda run: run.step(torch.full((16, 4), math.inf)),
    "nan in the loss": lambda run: run.step(good(9), factor=math.nan),
    "infinity in the loss": lambda run: run.step(good(9), factor=math.inf),
}


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("before", [0, 2], ids=["first step", "third step"])
def test_a_bad_step_never_was(name, bad, before):
    run, reference = Run(name), Run(name)
    for seed in range(before):
        run.step(good(seed))
        reference.step(good(seed))
    assert BAD[bad](run).item() is True
    assert run.step(good(7)).item() is False
    reference.step(good(7))
    assert_same(run.state(), reference.state())


@pytest.mark.parametrize(
    "objective",
    [lambda weight: weight.sqrt().sum(), lambda weight: weight.sum() + math.inf],
    ids=["0 with an infinite slope", "infinite with a slope of 1"],
)
def test_either_loss_or_gradient_can_be_bad(objective):
    weight = nn.Parameter(torch.zeros(1))
    optimizer = build_optimizer([("weight", weight)], OptimConfig(), 256)
    guard = FiniteGuard(nn.ParameterList([weight]), optimizer)
    loss = objective(weight)
    loss.backward()
    assert guard.decide(loss).item() is True
    optimizer.step()
    assert weight.item() == 0


def test_good_steps_are_as_without_a_guard():
    guarded, plain = Run(), Run()
    for seed in range(3):
        guarded.step(good(seed))
        plain.optimizer.zero_grad()
        plain.module(good(seed)).square().mean().backward()
        plain.optimizer.step()
    assert_same(guarded.state(), plain.state())


@pytest.mark.parametrize("factor", [1.0, 1e-3], ids=["clipped", "short enough"])
def test_a_gradient_is_clipped_to_its_norm(factor):
    """As torch does it, of all parameters together; and a bad step stays one."""
    guarded, plain = Run(clip_norm=0.01), Run()
    guarded.step(good(0), factor)
    (plain.module(good(0)).square().mean() * factor).backward()
    norm = nn.utils.clip_grad_norm_(plain.module.parameters(), 0.01)
    assert (norm > 0.01) == (factor == 1.0)
    plain.optimizer.step()
    assert_same(guarded.state(), plain.state())
    assert guarded.step(good(0), math.nan).item() is True
    assert_same(guarded.state(), plain.state())


@pytest.mark.parametrize(
    ("loss", "gradient", "scale", "counted"),
    [
        (1.0, math.inf, 2.0, False),  # the scale is too large for this gradient
        (1.0, math.nan, 2.0, False),
        (1.0, math.inf, 1.0, True),  # without a scale it would be infinite, too
        (math.nan, math.nan, 2.0, True),
        (math.inf, 1.0, 2.0, True),
    ],
)
def test_a_step_that_the_scale_of_the_loss_spoils_is_skipped_and_is_no_bad_one(loss, gradient, scale, counted):
    run = Run()
    for parameter in run.module.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    before = copy.deepcopy(run.state())
    assert run.guard.decide(torch.tensor(loss), torch.tensor(scale)).item() is True
    run.optimizer.step()
    assert_same({key: value for key, value in run.state().items() if key in before}, before)
    assert run.guard.counts() == (int(counted), int(counted))


def test_running_statistics_move_in_good_steps_only():
    run = Run()
    run.step(good(0))
    after_one = run.module[1].running_mean.clone()
    assert not torch.equal(after_one, torch.zeros(8))
    run.step(torch.full((16, 4), math.nan))
    assert torch.equal(run.module[1].running_mean, after_one)


def test_statistics_changed_between_steps_are_what_a_bad_step_goes_back_to():
    run = Run()
    run.step(good(0))
    run.module[1].running_mean.fill_(3.0)  # as a resumed checkpoint or a moving average would
    run.step(good(1), factor=math.nan)
    assert torch.equal(run.module[1].running_mean, torch.full((8,), 3.0))


def test_counters_and_their_round_trip():
    run = Run()
    for factor in (math.nan, 1.0, math.nan, math.nan):
        run.step(good(0), factor)
    assert (run.guard.in_a_row.item(), run.guard.total.item()) == (2, 3)

    resumed = Run()
    resumed.guard.load_state_dict(copy.deepcopy(run.guard.state_dict()))
    resumed.step(good(0), math.nan)
    assert (resumed.guard.in_a_row.item(), resumed.guard.total.item()) == (3, 4)
    resumed.step(good(0))
    assert (resumed.guard.in_a_row.item(), resumed.guard.total.item()) == (0, 4)


def test_statistics_keep_their_precision():
    module = nn.BatchNorm1d(3).double()
    optimizer = build_optimizer(module.named_parameters(), OptimConfig(), 256)
    guard = FiniteGuard(module, optimizer)
    guard.remember()
    loss = module(torch.randn(5, 3, dtype=torch.float64)).square().sum()
    loss.backward()
    expected = module.running_mean.clone()
    guard.decide(loss)
    assert torch.equal(module.running_mean, expected)


class NoHostReads(TorchDispatchMode):
    """Fails where the host asks for a value, which on a GPU would make it wait for the device."""

    READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function not in self.READS, f"{function} reads a value on the host"
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
def test_no_host_read_in_a_step(name):
    run, queue = Run(name, clip_norm=0.01), Queue(16, 4)
    with NoHostReads():
        for factor in (1.0, math.nan):
            skip = run.step(good(0), factor)
            queue.enqueue(good(0), skip=skip)
        with pytest.raises(AssertionError, match="on the host"):
            skip.item()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["sgd", "lars", "adamw"])
def test_no_synchronization_on_a_gpu(name):
    torch.set_default_device("cuda")
    try:
        run, queue, inputs = Run(name), Queue(16, 4), good(0).cuda()
        run.step(inputs)
        torch.cuda.set_sync_debug_mode("error")
        queue.enqueue(inputs, skip=run.step(inputs, math.nan))
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.set_default_device(None)
