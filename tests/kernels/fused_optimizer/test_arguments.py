"""The arguments of the optimizers' steps: what is refused, and what is taken as a number."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from sslfast import kernels as K
from tests.kernels.fused_optimizer.steps import assert_same_bits, bits, run
from tests.kernels.optimizer_rules import Problem


def call(**change):
    a = [torch.ones(2, 3)]
    lists = {name: change.pop(name, a) for name in ("params", "grads", "momenta")}
    K.sgd_ema_step_(*lists.values(), **{"lr": 0.1, "momentum": 0.9} | change)


ONE = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grads": []}, r"expected 1 grads to match params, got 0"),
        ({"targets": [ONE, ONE]}, r"expected 1 targets to match params, got 2"),
        ({"grads": [ONE.T]}, r"expected grads\[0\] of shape \(2, 3\), got \(3, 2\)"),
        ({"grads": [ONE.double()]}, r"expected grads\[0\] of dtype torch.float32, .* got torch.float64"),
        ({"grads": [ONE.to_sparse()]}, r"expected grads\[0\] to be dense, got torch.sparse_coo"),
        ({"momenta": [ONE.half()]}, r"expected momenta\[0\] of dtype torch.float32, got torch.float16"),
        ({"params": [ONE.long()]}, r"expected params\[0\] of a floating-point dtype, got torch.int64"),
        ({"shadows": [ONE.to("meta")]}, r"expected shadows\[0\] on cpu to match params\[0\], got meta"),
        ({"lr": -1.0}, r"expected lr to be a finite number >= 0, or a 0-d tensor, got -1.0"),
        ({"lr": math.nan}, r"expected lr to be a finite number >= 0, or a 0-d tensor, got nan"),
        ({"momentum": -1}, r"expected momentum to be a finite number >= 0, got -1"),
        ({"weight_decay": ONE}, r"expected weight_decay to be a finite number >= 0, got tensor"),
        ({"momentum": 0.0, "nesterov": True}, r"expected momentum > 0 with nesterov=True, got 0.0"),
        ({"nesterov": "yes"}, r"expected nesterov to be True or False, got 'yes'"),
        ({"lr": torch.ones(1)}, r"expected a lr tensor of shape \(\), float32 or float64, got \(1,\)"),
        ({"ema_momentum": 1.1}, r"expected ema_momentum in \[0, 1\] or a 0-d tensor, got 1.1"),
        ({"found_inf": torch.tensor(True)}, r"expected found_inf of shape \(\), float32, on cpu, got .*bool"),
    ],
)
@pytest.mark.parametrize("impl", ["reference", "auto"])
def test_errors_say_what_was_expected_and_what_came(impl, change, message):
    with pytest.raises(ValueError, match="^sgd_ema_step_: " + message):
        call(impl=impl, **change)
    assert torch.equal(ONE, torch.ones(2, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"betas": (1.0, 0.999)}, r"expected betas to be two numbers in \[0, 1\), got \(1.0, 0.999\)"),
        ({"betas": 0.9}, r"expected betas to be two numbers in \[0, 1\), got 0.9"),
        ({"eps": -1e-8}, r"expected eps to be a finite number >= 0, got -1e-08"),
        ({"weight_decay": math.inf}, r"expected weight_decay to be a finite number >= 0, got inf"),
    ],
)
def test_options_of_adamw_out_of_range(impl, change, message):
    state = [torch.zeros(2, 3)]
    with pytest.raises(ValueError, match="^adamw_ema_step_: " + message):
        K.adamw_ema_step_([ONE], [ONE], state, state, [torch.zeros(())], impl=impl, **{"lr": 0.1} | change)
    assert torch.equal(ONE, torch.ones(2, 3))


def test_options_of_lars_out_of_range(impl):
    message = "^lars_ema_step_: expected trust_coefficient to be a finite number >= 0, got nan"
    with pytest.raises(ValueError, match=message):
        K.lars_ema_step_([ONE], [ONE], [], lr=0.1, trust_coefficient=math.nan, impl=impl)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, Fraction])
def test_numbers_of_other_libraries(rule, impl, device, kind):
    """They are what the same Python numbers are."""
    problems = [Problem(rule, [(3, 2)], device=device) for _ in range(2)]
    for problem, number in zip(problems, (float, kind), strict=True):
        options = {"lr": number(1), "weight_decay": number(1), "ema_momentum": number(1)}
        options |= {"betas": (number(0), number(0))} if rule == "adamw" else {"momentum": number(1)}
        run(problem, problem.grads(0), impl, **options)
    for one, other in zip(*(problem.params for problem in problems), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["params", "states", "targets", "shadows"])
def test_expanded_tensors(rule, impl, device, name):
    """A gradient may be expanded, as that of a sum is; what is written may not."""
    problem = Problem(rule, [(5,), (2, 3)], device=device)
    grads = [torch.ones((), device=device).expand(p.shape) for p in problem.params]
    run(problem, grads, impl, ema_momentum=0.7)
    of_name = problem.states[0] if name == "states" else getattr(problem, name)
    of_name[1] = of_name[1][:1].expand(2, 3)
    before = bits(problem.everything())
    message = rf"^{rule}_ema_step_: expected \w+\[1\], .* shape \(2, 3\) and strides \(0, 1\); pass a clone"
    with pytest.raises(ValueError, match=message):
        run(problem, grads, impl, ema_momentum=0.7)
    assert_same_bits(problem.everything(), before)


def test_steps_that_are_no_count():
    problem = Problem("adamw", [(3,)])
    problem.states[2][0] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"^adamw_ema_step_: expected steps\[0\] of shape \(\), got \(1,\)"):
        run(problem, problem.grads(0), "auto")
