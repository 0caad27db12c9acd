"""The optimizers' steps: every implementation against the rules in fp64, over several steps."""

import math
from fractions import Fraction

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch

from sslfast import kernels as K
from sslfast.kernels.common import op as lib
from tests.kernels import nvcc
from tests.kernels.architectures import ONE_AND_OTHERS
from tests.kernels.optimizer_rules import OPTIONS, RULES, Problem

NARROW = [torch.float32, torch.float16, torch.bfloat16]


@pytest.fixture(params=["reference", "cpp", "cuda"])
def impl(request):
    return request.param


@pytest.fixture(params=RULES)
def rule(request):
    return request.param


def run(problem, grads, impl, **options):
    step = getattr(K, f"{problem.rule}_ema_step_")
    step(
        problem.params,
        grads,
        *problem.states,
        targets=problem.targets,
        shadows=problem.shadows,
        impl=impl,
        **OPTIONS[problem.rule] | options,
    )


def bits(tensors):
    return [x.detach().contiguous().view(-1).view(torch.uint8).clone() for x in tensors]


def assert_same_bits(tensors, expected):
    assert all(torch.equal(a, b) for a, b in zip(bits(tensors), expected, strict=True))


@pytest.mark.parametrize("grad", NARROW, ids=str)
@pytest.mark.parametrize(
    ("target", "shadow"),
    [
        (None, None),
        (None, torch.bfloat16),
        (torch.float32, None),
        *zip(NARROW, NARROW[1:] + NARROW[:1], strict=True),
    ],
    ids=str,
)
def test_several_steps(rule, impl, device, grad, target, shadow):
    """Every dtype of gradients, targets and shadows, at odd sizes."""
    problem = Problem(rule, target=target, shadow=shadow, device=device)
    for step in range(4):
        grads = problem.grads(step, grad)
        run(problem, grads, impl, ema_momentum=0.7)
        problem.step_truth(grads, 0.7, **OPTIONS[rule])
        for followers, source in ((problem.targets, problem.truth[-1]), (problem.shadows, None)):
            for follower, expected in zip(followers, source or (), strict=False):
                expected.copy_(follower)  # rounded at every step
    problem.check()


@pytest.mark.parametrize("impl", ["reference"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("grad", ["the same", torch.float32], ids=str)
@pytest.mark.parametrize(
    ("rule", "options"),
    [
        ("sgd", {}),
        ("sgd", {"momentum": 0.0, "weight_decay": 0.0}),
        ("sgd", {"nesterov": True}),
        ("lars", {}),
        ("lars", {"momentum": 0.0}),
        ("adamw", {"eps": 1e-2}),  # below which the rounding of a square would decide
    ],
    ids=str,
)
def test_every_dtype_of_parameters(rule, options, impl, device, dtype, grad):
    """Computed in fp32, or fp64, and rounded once in a step, to the dtype of each tensor."""
    problem = Problem(
        rule, [(64, 3, 3, 3), (64,), (), (0, 3), (17, 129)], dtype=dtype, target=dtype, device=device
    )
    for step in range(4):
        grads = problem.grads(step, dtype if grad == "the same" else grad)
        run(problem, grads, impl, ema_momentum=0.7, **options)
        problem.step_truth(grads, 0.7, **OPTIONS[rule] | options)
        for x in (x for tensors in problem.truth for x in tensors):
            x.copy_(x.to(dtype))
    if options.get("momentum") == 0:
        assert all(v.eq(0).all() for v in problem.states[0])  # left alone
        problem.states[0] = [v.to(dtype) for v in problem.truth[1]]
    eps = torch.finfo(dtype).eps
    problem.check(rtol=4 * eps, atol=4 * eps)


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"nesterov": True}, {"weight_decay": 0.0}], ids=str)
def test_options_of_sgd(impl, device, options):
    problem = Problem("sgd", device=device)
    for step in range(3):
        grads = problem.grads(step)
        run(problem, grads, impl, ema_momentum=0.7, **options)
        problem.step_truth(grads, 0.7, **OPTIONS["sgd"] | options)
    if not options.get("momentum", 1):
        assert all(v.eq(0).all() for v in problem.states[0])  # left alone
        problem.states[0] = [v.float() for v in problem.truth[1]]
    problem.check()


def test_lars_takes_a_plain_step_where_a_norm_is_zero(impl, device):
    problem = Problem("lars", [(5,), (5,), (5,)], target=None, shadow=None, device=device)
    grads = problem.grads(0)
    for i, tensors in ((0, problem.params), (0, problem.truth[0]), (1, grads)):
        tensors[i].zero_()
    options = {"weight_decay": 0.0}
    run(problem, grads, impl, **options)
    problem.step_truth(grads, 1.0, **OPTIONS["lars"] | options)
    problem.check()
    assert not problem.params[0].eq(0).any()


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_lars_with_norms_far_from_one(impl, device, scale):
    problem = Problem("lars", [(100_003,), (3,)], target=None, shadow=None, device=device)
    grads = [g * scale for g in problem.grads(0)]
    run(problem, grads, impl)
    problem.step_truth(grads, 1.0, **OPTIONS["lars"])
    problem.check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_numbers_may_be_tensors(rule, impl, device, dtype):
    one, other = Problem(rule, device=device), Problem(rule, device=device)
    lr, momentum = torch.tensor(0.03, dtype=dtype), torch.tensor(0.9, dtype=dtype)
    grads = one.grads(0)
    run(one, grads, impl, lr=lr.to(device), ema_momentum=momentum.to(device))
    run(other, grads, impl, lr=lr.item(), ema_momentum=momentum.item())
    torch.testing.assert_close(one.everything(), other.everything(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_momentum_of_one_keeps_targets_and_zero_copies(rule, impl, device, as_tensor):
    for momentum in (1.0, 0.0):
        problem = Problem(rule, device=device)
        problem.targets[1][3] = problem.params[0][0, 0, 0, 0] = float("nan")
        before = bits(problem.targets)
        run(problem, problem.grads(0), impl, ema_momentum=torch.tensor(momentum) if as_tensor else momentum)
        assert_same_bits(problem.targets, before if momentum else bits(problem.params))


@pytest.mark.parametrize("found", [0.0, 1.0])
def test_found_inf(rule, impl, device, found):
    problem, plain = Problem(rule, device=device), Problem(rule, device=device)
    run(problem, problem.grads(0), impl, ema_momentum=0.7)  # so that there is a state
    run(plain, problem.grads(0), impl, ema_momentum=0.7)
    before = bits(problem.everything())
    grads = problem.grads(1)
    if found:
        grads[0].fill_(float("nan"))
    run(problem, grads, impl, ema_momentum=0.7, found_inf=torch.tensor(found, device=device))
    if found:
        assert_same_bits(problem.everything(), before)
    else:
        run(plain, grads, impl, ema_momentum=0.7)
        torch.testing.assert_close(problem.everything(), plain.everything(), rtol=1e-6, atol=1e-6)


def test_a_bad_gradient_stays_with_its_parameter(rule, impl, device):
    problem, expected = Problem(rule, device=device), Problem(rule, device=device)
    grads = problem.grads(0)
    run(expected, grads, impl, ema_momentum=0.7)
    grads[0][0, 0, 0, 0] = float("nan")
    run(problem, grads, impl, ema_momentum=0.7)
    for tensors, good in ((problem.params, expected.params), (problem.targets, expected.targets)):
        assert tensors[0].isnan().any()
        assert_same_bits(tensors[1:], bits(good[1:]))


def layouts(x):
    """The values of x, (4, 6, 2, 3), laid out in several ways."""
    wide = torch.zeros(4, 6, 2, 6, dtype=x.dtype, device=x.device)
    around = torch.empty(x.numel() + 1, dtype=x.dtype, device=x.device)
    forms = {
        "contiguous": x.clone(),
        "channels_last": x.to(memory_format=torch.channels_last),
        "permuted": x.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
        "strided": wide[..., ::2].copy_(x),
        "unaligned": around[1:].view(x.shape).copy_(x),
    }
    assert all(torch.equal(form, x) for form in forms.values())
    return forms


@pytest.mark.parametrize("own", ["contiguous", "channels_last", "permuted", "strided", "unaligned"])
def test_any_memory_layout(rule, impl, device, own):
    """Of the parameter, and of all that belongs to it."""
    shape = (4, 6, 2, 3)
    for other in layouts(torch.zeros(shape)):
        problem = Problem(rule, [shape], device=device)
        expected = Problem(rule, [shape], device=device)
        grads = problem.grads(0)
        run(expected, grads, impl, ema_momentum=0.7)
        problem.params = [layouts(problem.params[0])[own]]
        for tensors in (*problem.states[: 2 if rule == "adamw" else 1], problem.targets, problem.shadows, grads):
            tensors[0] = layouts(tensors[0])[other]
        strides = [x.stride() for x in problem.everything()]
        run(problem, grads, impl, ema_momentum=0.7)
        assert [x.stride() for x in problem.everything()] == strides
        torch.testing.assert_close(problem.everything(), expected.everything(), rtol=1e-6, atol=1e-7)


@hypothesis.given(
    shapes=st.lists(st.lists(st.integers(0, 40), max_size=3), min_size=1, max_size=5),
    name=st.sampled_from(list(RULES)),
    grad=st.sampled_from(NARROW),
    momentum=st.floats(0, 1),
    lr=st.floats(0, 10),
)
@hypothesis.settings(max_examples=60)
def test_compiled_matches_reference(shapes, name, grad, momentum, lr):
    got, expected = Problem(name, shapes), Problem(name, shapes)
    for problem, impl in ((got, "cpp"), (expected, "reference")):
        for step in range(2):
            run(problem, problem.grads(step, grad), impl, ema_momentum=momentum, lr=lr)
    torch.testing.assert_close(got.everything(), expected.everything(), rtol=1e-2, atol=1e-2)
    wide = slice(0, len(got.everything()) - len(shapes))  # all but the bf16 shadows, which may round otherwise
    torch.testing.assert_close(got.everything()[wide], expected.everything()[wide], rtol=1e-5, atol=1e-5)


def test_bits_do_not_depend_on_threads(rule):
    results, threads = [], torch.get_num_threads()
    try:
        for count in (1, 2, 3, 1):
            torch.set_num_threads(count)
            problem = Problem(rule, [(3,), (100_000,), (70_001,), (1,)])
            for step in range(2):
                run(problem, problem.grads(step, torch.bfloat16), "cpp", ema_momentum=0.7)
            results.append(bits(problem.everything()))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def test_more_parameters_than_one_launch_takes(rule, impl, device):
    problem = Problem(rule, [(1 + i % 7,) for i in range(900)], device=device)
    grads = problem.grads(0)
    run(problem, grads, impl, ema_momentum=0.7)
    problem.step_truth(grads, 0.7, **OPTIONS[rule])
    problem.check()


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


def test_no_parameters(rule, impl):
    run(Problem(rule, []), [], impl)


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
