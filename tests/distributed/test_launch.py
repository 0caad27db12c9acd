"""Several processes: how they join, and the device of each."""

import pytest
import torch
import torch.distributed as dist

from sslfast.distributed import launch
from sslfast.errors import TrainingError, UsageError


@pytest.fixture
def second_of_two(monkeypatch):
    """Acts as the second process of a machine with two GPUs; lists what it was set to use."""
    used = []
    monkeypatch.setattr(launch, "world_size", lambda: 2)
    monkeypatch.setattr(launch, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(dist, "get_node_local_rank", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    return used


def test_each_process_has_a_gpu_of_its_own(second_of_two):
    assert launch.own_device("auto") == torch.device("cuda", 1)
    assert second_of_two == [1]


def test_one_gpu_for_all_is_refused(second_of_two, monkeypatch):
    with pytest.raises(UsageError, match="train.device=cuda:0: expected auto or cuda"):
        launch.own_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="more processes than the 1 GPUs of this machine"):
        launch.own_device("cuda")
    assert second_of_two == []


@pytest.mark.parametrize("environment", [{}, {"RANK": "0", "WORLD_SIZE": "1"}, {"WORLD_SIZE": "2"}])
def test_a_single_process_joins_none(monkeypatch, environment):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with launch.joined(600) as ranks, launch.first_alone(ranks):
        assert not dist.is_initialized()


@pytest.mark.parametrize("backends", ["cuda:nccl", "cpu:gloo,cuda:nccl"])
def test_a_callers_processes_can_exchange_tensors_of_the_host(second_of_two, monkeypatch, backends):
    monkeypatch.setattr(dist, "get_backend_config", lambda: backends)
    if "gloo" in backends:
        with launch.joined(5):
            return
    with (
        pytest.raises(UsageError, match=r"tensors of the host, too, got cuda:nccl; join .*'cpu:gloo"),
        launch.joined(5),
    ):
        pass


def test_processes_that_do_not_find_one_another_are_one_sentence(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "x"}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(TrainingError, match=r"torchrun: the 2 processes did not find one another \("),
        launch.joined(5),
    ):
        pass
