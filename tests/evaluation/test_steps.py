"""The training of a network by steps, and how it goes on after a kill."""

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from sslfast.errors import TrainingError
from sslfast.evaluation.steps import image_order, train_by_steps
from sslfast.kernels.optimizers import FusedSGD
from sslfast.run import checkpoint

STEPS = 45  # a part has two, the last one one


def batches(numbers: range):
    for number in numbers:
        yield torch.randn(4, 3, generator=torch.Generator().manual_seed(number))


def built() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    for number, parameter in enumerate(network.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
    return network.train()


def train(network: nn.Sequential, progress: Path, rate=lambda step: 0.005) -> nn.Module:
    train_by_steps(
        network,
        FusedSGD(network.parameters(), 0.1, momentum=0.9),
        batches,
        lambda batch: {"square": network(batch).square().mean(), "nothing": 0 * network[0].weight.sum()},
        rate,
        num_steps=STEPS,
        seed=3,
        device=torch.device("cpu"),
        progress=progress,
    )
    return network


def test_the_losses_fall_and_are_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(built(), tmp_path / "p")
    lines = [line for line in caplog.messages if line.startswith("step")]
    assert len(lines) == 23
    first, last = (float(line.split("loss ")[1].split()[0]) for line in (lines[0], lines[-1]))
    assert last < first / 2
    assert lines[-1] == f"step 45 of 45: loss {last:.3f} (square {last:.3f}, nothing 0.000)"
    assert not list(tmp_path.iterdir())  # nothing is left of a training that has ended


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    expected = train(built(), tmp_path / "p").state_dict()

    def killed(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", killed)
    for seed in range(2):
        torch.manual_seed(seed)  # which is nothing to the training
        with pytest.raises(KeyboardInterrupt):
            train(built(), tmp_path / "p")
    monkeypatch.undo()
    found = train(built(), tmp_path / "p").state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_torchs_generator_is_left_as_it_was(tmp_path):
    network = built()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(network, tmp_path / "p")
    assert torch.equal(torch.rand(1), expected)


def test_the_rate_is_that_of_the_step(tmp_path):
    seen = []
    train(built(), tmp_path / "p", rate=lambda step: seen.append(step) or 0.0)
    assert seen == list(range(STEPS))


def test_a_training_that_diverges_stops(tmp_path):
    with pytest.raises(TrainingError, match="the loss is nan in the steps to .* of 45; set a lower lr"):
        train(built(), tmp_path / "p", rate=lambda step: 1e30)


def test_every_pass_has_every_image_once_in_another_order():
    order = image_order(5, 3, 7)
    rest, second, third = ([next(order) for _ in range(count)] for count in (3, 5, 5))
    assert sorted(second) == sorted(third) == list(range(5))
    assert second != third
    whole = image_order(5, 3, 0)
    assert [next(whole) for _ in range(10)][7:] == rest
