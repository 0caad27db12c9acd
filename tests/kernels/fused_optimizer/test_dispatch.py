"""The implementations of the optimizers' steps: which one runs, and what torch sees of it."""

import pytest
import torch

from sslfast import kernels as K
from sslfast.kernels.common import op as lib
from tests.kernels import nvcc
from tests.kernels.architectures import ONE_AND_OTHERS
from tests.kernels.fused_optimizer.steps import assert_same_bits, bits, run
from tests.kernels.optimizer_rules import OPTIONS, Problem


def test_fp64_takes_the_reference(rule):
    problem = Problem(rule, dtype=torch.float64, target=torch.float64, shadow=None)
    grads = problem.grads(0, torch.float64)
    run(problem, grads, "auto", ema_momentum=0.7)
    problem.step_truth(grads, 0.7, **OPTIONS[rule])
    problem.check(rtol=1e-6 if rule == "adamw" else 1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_the_compiled_kernel_takes_fp32_parameters_only(rule, dtype):
    problem = Problem(rule, dtype=dtype)
    with pytest.raises(RuntimeError, match=f"impl='cpp' is not available: it has no kernel for {dtype}"):
        run(problem, problem.grads(0), "cpp")


def test_auto_takes_the_compiled_kernel(rule, record_impls):
    called = record_impls(f"{rule}_ema_step_")
    problem = Problem(rule)
    run(problem, problem.grads(0), "auto")
    assert called == ["cpp"]


def test_auto_passes_over_the_cuda_kernel(rule, monkeypatch):
    monkeypatch.setitem(lib.MISSING, "cuda", None)
    assert K.available_impls(f"{rule}_ema_step_", "cuda") == ["reference", "cuda"]


def test_autograd_learns_that_they_changed(rule, impl, device):
    problem = Problem(rule, [(3,)], target=None, shadow=None, device=device)
    problem.params[0].requires_grad_()
    stale = problem.params[0].square().sum()
    run(problem, problem.grads(0), impl)
    assert problem.params[0].is_leaf
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()


@pytest.mark.parametrize("impl", ["cpp", "cuda"])
def test_opcheck(rule, impl, device, monkeypatch):
    problem = Problem(rule, [(4, 3), (5,)], device=device)
    op, calls = lib.OPS[f"{rule}_ema_step_"], []
    monkeypatch.setattr(op, "call", lambda *args: calls.append(args))
    run(problem, problem.grads(0), impl, found_inf=torch.tensor(0.0, device=device), ema_momentum=0.7)
    ((_, *args),) = calls
    torch.library.opcheck(getattr(getattr(torch.ops.sslfast, op.name), impl), tuple(args))


@pytest.mark.parametrize("impl", ["cpp", "cuda"])
def test_compiles_into_a_full_graph(rule, impl, device):
    @torch.compile(fullgraph=True, backend="aot_eager")
    def compiled(problem_lists, grads, lr):
        params, states, targets, shadows = problem_lists
        step = getattr(K, f"{rule}_ema_step_")
        options = OPTIONS[rule] | {"lr": lr, "ema_momentum": 0.7, "impl": impl}
        step(params, grads, *states, targets=targets, shadows=shadows, **options)
        return [2 * p for p in params]

    one, other = Problem(rule, device=device), Problem(rule, device=device)
    lr = torch.tensor(0.1, device=device)
    doubled = compiled((one.params, one.states, one.targets, one.shadows), one.grads(0), lr)
    run(other, other.grads(0), impl, lr=lr, ema_momentum=0.7)
    assert_same_bits(one.everything(), bits(other.everything()))
    assert_same_bits(doubled, bits([2 * p for p in other.params]))


@pytest.mark.gpu
def test_a_cuda_graph_replays_with_new_numbers(rule):
    problem, expected = (Problem(rule, device="cuda") for _ in range(2))
    lr, momentum, found_inf = (torch.tensor(x, device="cuda") for x in (0.0, 1.0, 1.0))
    grads = problem.grads(0)
    numbers = {"lr": lr, "ema_momentum": momentum, "found_inf": found_inf}
    run(problem, grads, "cuda", **numbers)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run(problem, grads, "cuda", **numbers)
    for value in (0.1, 0.2):
        lr.fill_(value)
        momentum.fill_(value)
        found_inf.zero_()
        grads[0].add_(1)
        graph.replay()
        run(expected, grads, "cuda", **numbers)
        assert_same_bits(problem.everything(), bits(expected.everything()))


@pytest.mark.gpu
def test_few_launches_and_no_wait(rule):
    problem = Problem(rule, [(100 + i,) for i in range(160)], device="cuda")
    grads, found_inf = problem.grads(0), torch.zeros((), device="cuda")
    run(problem, grads, "cuda", found_inf=found_inf)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            run(problem, grads, "cuda", found_inf=found_inf)
            torch.cuda.set_sync_debug_mode("default")
            torch.cuda.synchronize()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    kernels = [event.name for event in profile.events() if event.device_type.name == "CUDA"]
    assert len([name for name in kernels if "kernel" in name]) == (1 if rule == "sgd" else 2)
    assert not [name for name in kernels if "Memcpy" in name]


@pytest.mark.skipif(nvcc.find_nvcc() is None, reason="needs nvcc")
@pytest.mark.parametrize("architecture", ONE_AND_OTHERS)
def test_cuda_kernels_compile_without_spills(architecture, tmp_path):
    log = nvcc.compile_for(architecture, "cuda/fused_optimizer.cu", tmp_path / "fused_optimizer.cubin")
    assert "warning" not in log, log
    assert nvcc.spilled_bytes(log) == 0
