"""The networks of a step, timed alone."""

import torch

from sslfast.benchmarks.train.networks import networks_alone, record_calls


def gradients(train_step):
    return {name: p.grad.clone() for name, p in train_step.method.named_parameters() if p.grad is not None}


def test_the_networks_alone_compute_what_they_do_in_a_step(train_step, batch):
    step = networks_alone(train_step, batch)
    in_step = gradients(train_step)
    train_step.optimizer.zero_grad()
    keys = train_step.method.queue.keys.clone()
    for _ in range(2):
        step()
        alone = gradients(train_step)
        assert alone.keys() == in_step.keys() == {name for name in alone if not name.startswith("key_network")}
        for name, gradient in alone.items():
            torch.testing.assert_close(gradient, in_step[name], msg=lambda text, name=name: f"{name}: {text}")
    assert torch.equal(train_step.method.queue.keys, keys)  # nothing of the rest of the step


def test_the_outermost_calls_are_kept(train_step, batch):
    method = train_step.method
    calls = record_calls(train_step, batch)
    assert [call.module for call in calls] == [method.encoder, method.head, *method.key_network.module]
    assert [bool(call.gradients) for call in calls] == [True, True, False, False]
    assert [call.args[0].requires_grad for call in calls] == [False, True, False, False]
    train_step(batch)
    assert len(calls) == 4  # the hooks are gone
