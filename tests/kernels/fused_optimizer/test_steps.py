"""The optimizers' steps: every implementation against the rules in fp64, over several steps."""

import hypothesis
import hypothesis.strategies as st
import pytest
import torch

from tests.kernels.fused_optimizer.steps import NARROW, assert_same_bits, bits, run
from tests.kernels.optimizer_rules import OPTIONS, RULES, Problem


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


def test_adamw_without_memory_takes_the_gradient_as_it_is(impl, device):
    """With betas of 0 a small gradient beside a large average of earlier ones loses nothing."""
    problem = Problem("adamw", [(1000,)], target=None, shadow=None, device=device)
    grads = [g * 1e-4 for g in problem.grads(0)]
    problem.states[0][0].normal_()
    problem.truth[1][0].copy_(problem.states[0][0])
    run(problem, grads, impl, betas=(0.0, 0.0))
    problem.step_truth(grads, 1.0, **OPTIONS["adamw"] | {"betas": (0.0, 0.0)})
    assert torch.equal(problem.states[0][0], grads[0])
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
    """Lays the values of x, (4, 6, 2, 3), out in several ways."""
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


def test_no_parameters(rule, impl):
    run(Problem(rule, []), [], impl)
