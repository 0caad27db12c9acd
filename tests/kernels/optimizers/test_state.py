"""State dicts and copies of the optimizer classes."""

import copy
import itertools
import pickle

import pytest
import torch

from sslfast.kernels.optimizers import FusedAdamW
from tests.kernels.optimizers.classes import MOMENTUM, OURS, THEIRS, assert_same, network, set_gradients


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
