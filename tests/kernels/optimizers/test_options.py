"""Options of the optimizer classes: those of torch's that ask for nothing else are taken, others refused."""

import copy
import math
import re

import pytest

from sslfast.kernels.optimizers import FusedSGD
from tests.kernels.optimizers.classes import OURS, assert_same, network, set_gradients

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
