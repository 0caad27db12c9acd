"""Activation checkpointing and compilation of an encoder's blocks: the same steps, in less memory."""

from itertools import islice

import pytest
import torch

from sslfast.errors import UsageError
from sslfast.given import given
from sslfast.train import blocks
from tests.methods.steps import trainer_of
from tests.methods.subjects import VIT
from tests.train.runs import assert_same

OF_VIT = (*VIT, "encoder.stem=imagenet")
CASES = {
    "mae": OF_VIT,
    "moco_v3": OF_VIT,
    "moco_v2": (),  # of batch normalization, whose statistics move once a step
    "byol": ("encoder.norm=split", "encoder.norm_splits=2"),
}


def trained(name, *overrides):
    """Returns the losses and the state of two steps, and the bytes that the first one's forward pass kept."""
    trainer, kept = trainer_of(name, *overrides), {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    first, second = islice(trainer.loader.epoch(0), 2)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer.method.loss(first)
    trainer.method.load_state_dict(trainer_of(name, *overrides).method.state_dict())
    losses = [trainer.train_step(batch)["loss"] for batch in (first, second)]
    return losses, trainer.train_step.state_dict(), sum(kept.values())


@pytest.mark.parametrize("name", CASES)
def test_blocks_that_compute_twice_train_to_the_same_bits_in_less_memory(name):
    losses, state, kept = trained(name, *CASES[name])
    again, same, less = trained(name, *CASES[name], "train.checkpointing=true")
    assert_same(again, losses)
    assert_same(same, state)
    assert less < 0.6 * kept


@pytest.mark.parametrize("settings", [["train.checkpointing=true"], ["train.parallel=fsdp"]])
def test_blocks_are_compiled_one_by_one(settings, monkeypatch):
    compiled, compile_ = [], torch.compile

    def count(function, **options):
        compiled.append(function)
        return compile_(function, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", count)
    losses, state, _ = trained("mae", *OF_VIT)
    again, same, _ = trained("mae", *OF_VIT, *settings, "train.compile=true")
    assert len([function for function in compiled if function.__name__ == "forward"]) == 2 * 12
    torch.testing.assert_close(again, losses)
    torch.testing.assert_close(same["method"], state["method"])


def test_more_graphs_than_torch_makes_by_itself_are_compiled(monkeypatch):
    """A ResNet's blocks are one function of 7 forms, with a gradient, and in the moving average without."""
    graphs, compile_ = [], torch.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda function, **options: compile_(function, backend=backend, **options)
    )
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 8)
    torch.compiler.reset()
    trainer = trainer_of("moco_v2", "train.checkpointing=true", "train.compile=true")
    trainer.train_step(next(trainer.loader.epoch(0)))
    assert len(graphs) == 14


def test_an_encoder_without_known_blocks_is_refused():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 8))
    with (
        given("python:flat", module),
        pytest.raises(UsageError, match="train.checkpointing=true: encoder.name=python:flat has no blocks"),
    ):
        trainer_of("simclr", "encoder.name=python:flat", "encoder.width=1", "train.checkpointing=true")


def test_buffers_stay_as_they_were_after_an_error():
    norm = torch.nn.BatchNorm1d(2)

    def fail():
        norm(torch.randn(4, 2))
        raise KeyError

    with pytest.raises(KeyError), blocks._buffers_kept(norm):
        fail()
    assert_same(dict(norm.named_buffers()), dict(torch.nn.BatchNorm1d(2).named_buffers()))
