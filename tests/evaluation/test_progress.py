"""The progress of a training comes back as it was written."""

import pytest
import torch
from torch import nn

from sslfast.errors import UsageError
from sslfast.evaluation.progress import restore_progress, save_progress
from sslfast.run import checkpoint


def built():
    network = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return network, optimizer


def test_it_comes_back(tmp_path):
    network, optimizer = built()
    again, its_optimizer = built()
    file = tmp_path / "a" / "p"
    assert restore_progress(file, again, its_optimizer, "epoch") == 0
    save_progress(file, network, optimizer, 3)
    assert restore_progress(file, again, its_optimizer, "epoch") == 3
    assert torch.equal(again.weight, network.weight)
    momentum = [o.state_dict()["state"][0]["momentum_buffer"] for o in (optimizer, its_optimizer)]
    assert torch.equal(*momentum)


@pytest.mark.parametrize(
    "change", [{"network": {"x": torch.zeros(1)}}, {"network": 3}, {"optimizer": {}}, {"done": "many"}, None]
)
def test_that_of_another_training_is_refused(tmp_path, change):
    network, optimizer = built()
    whole = {"done": 1, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
    checkpoint.save(tmp_path / "p", {} if change is None else whole | change)
    with pytest.raises(UsageError, match=r"p: not of this training \(.*\); remove it to begin anew"):
        restore_progress(tmp_path / "p", network, optimizer, "step")
