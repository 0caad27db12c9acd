"""ema_update_ in CUDA C++: graphs, launches, streams, devices, compilation."""

import pytest
import torch

from sslfast import kernels as K
from tests.kernels import nvcc
from tests.kernels.architectures import ONE_AND_OTHERS
from tests.kernels.ema import assert_averaged, copies, randn


@pytest.mark.gpu
def test_a_cuda_graph_replays_with_a_new_momentum():
    targets, sources = [randn(70_000, device="cuda")], [randn(70_000, seed=1, device="cuda")]
    momentum = torch.tensor(1.0, device="cuda")
    K.ema_update_(targets, sources, momentum, impl="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        K.ema_update_(targets, sources, momentum, impl="cuda")
    for value in (0.9, 0.5):
        before = copies(targets)
        momentum.fill_(value)
        sources[0].add_(1)
        graph.replay()
        assert_averaged(targets, before, sources, value)


@pytest.mark.gpu
def test_as_many_tensors_as_a_resnet_50_has_are_one_launch_and_no_wait():
    targets, sources = ([randn(100 + i, seed=i, device="cuda") for i in range(320)] for _ in range(2))
    K.ema_update_(targets, sources, 0.5, impl="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            K.ema_update_(targets, sources, 0.5, impl="cuda")
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.synchronize()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    kernels = [event.name for event in profile.events() if event.device_type.name == "CUDA"]
    assert len([name for name in kernels if "update_kernel" in name]) == 1
    assert not [name for name in kernels if "Memcpy" in name]


@pytest.mark.gpu
def test_the_current_stream_is_used():
    k, q = torch.zeros(1 << 22, device="cuda"), torch.ones(1 << 22, device="cuda")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)
        q.mul_(3)
        K.ema_update_([k], [q], 0.5, impl="cuda")
    stream.synchronize()
    assert torch.equal(k, torch.full_like(k, 1.5))


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_the_tensors_device_is_used():
    k, q = torch.zeros(3, device="cuda:1"), torch.ones(3, device="cuda:1")
    K.ema_update_([k], [q], 0.5, impl="cuda")
    assert k.tolist() == [0.5] * 3
    assert torch.cuda.current_device() == 0


@pytest.mark.skipif(nvcc.find_nvcc() is None, reason="needs nvcc")
@pytest.mark.parametrize("architecture", ONE_AND_OTHERS)
def test_cuda_kernel_compiles_without_spills(architecture, tmp_path):
    log = nvcc.compile_for(architecture, "cuda/ema_update.cu", tmp_path / "ema_update.cubin")
    assert "warning" not in log, log
    assert nvcc.spilled_bytes(log) == 0
