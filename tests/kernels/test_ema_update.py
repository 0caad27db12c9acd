"""Tests ema_update_: every implementation against the equation in fp64, and what a training loop asks of it."""

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from sslfast import kernels as K
from sslfast.kernels.common import op as lib
from sslfast.kernels.ema_update import reference
from sslfast.kernels.ema_update.op import OP
from tests.kernels.ema import assert_averaged, copies, randn
from tests.kernels.python_calls import python_calls

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@pytest.fixture(params=["reference", "foreach", "cpp", "cuda"])
def impl(request, monkeypatch):
    """Names every implementation; "foreach" is what `auto` falls back on where nothing is compiled."""
    if request.param != "foreach":
        return request.param
    for compiled in OP.impls:
        monkeypatch.setitem(lib.MISSING, compiled, "taken away by the test")
    return "auto"


def bits(tensor):
    return tensor.detach().contiguous().view(torch.uint8)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.99, 0.9999, 1.0])
def test_every_pair_of_dtypes_at_odd_sizes(impl, device, momentum):
    sizes = (1, 2, 15, 16, 17, 8191, 8192, 8193, 40_001)
    cases = list(itertools.product(DTYPES, DTYPES, sizes))
    targets = [randn(n, seed=i, dtype=a, device=device) for i, (a, _, n) in enumerate(cases)]
    sources = [randn(n, seed=-i - 1, dtype=b, device=device) for i, (_, b, n) in enumerate(cases)]
    got = copies(targets)
    K.ema_update_(got, sources, momentum, impl=impl)
    assert_averaged(got, targets, sources, momentum)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
def test_a_momentum_tensor_is_a_momentum(impl, device, momentum, dtype):
    k, q = randn(1000, device=device), randn(1000, seed=1, device=device)
    as_float, as_tensor = k.clone(), k.clone()
    scalar = torch.tensor(momentum, dtype=dtype)
    K.ema_update_([as_float], [q], float(scalar), impl=impl)
    K.ema_update_([as_tensor], [q], scalar.to(device), impl=impl)
    torch.testing.assert_close(as_tensor, as_float, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_momentum_one_keeps_and_zero_copies_every_bit(impl, device, dtype, as_tensor):
    special = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1.0, torch.finfo(dtype).tiny]
    pairs = list(itertools.product(special, special))
    k = torch.tensor([a for a, _ in pairs], dtype=dtype, device=device)
    q = torch.tensor([b for _, b in pairs], dtype=dtype, device=device)
    for momentum, expected in ((1.0, k), (0.0, q)):
        got = k.clone()
        m = torch.tensor(momentum, device=device) if as_tensor else momentum
        K.ema_update_([got], [q], m, impl=impl)
        nan = expected.isnan()
        assert torch.equal(got.isnan(), nan)
        assert torch.equal(bits(got[~nan]), bits(expected[~nan]))


@pytest.mark.parametrize("narrow", [torch.float16, torch.bfloat16])
def test_a_copy_into_another_dtype_rounds_as_torch_does(impl, device, narrow):
    """The values are random bits, with subnormals, infinities, ties and overflows; and all of 16 bits, back."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(-(2**31), 2**31, (200_000,), generator=generator).to(torch.int32)
    patterns[::2] &= -(2**12)  # ties are among these
    wide = torch.cat([patterns.view(torch.float32), randn(100_000), randn(100_000) * 2.0**-20]).to(device)
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(narrow).to(device)
    got = [torch.zeros_like(wide, dtype=narrow), torch.zeros_like(every, dtype=torch.float32)]
    K.ema_update_(got, [wide, every], 0.0, impl=impl)
    for out, expected in zip(got, (wide.to(narrow), every.float()), strict=True):
        nan = expected.isnan()
        assert torch.equal(out.isnan(), nan)
        assert torch.equal(bits(out[~nan]), bits(expected[~nan]))


def test_equal_tensors_do_not_drift(impl, device):
    k = randn(1000, device=device)
    other = k.clone()
    for _ in range(100):
        K.ema_update_([k], [k], 0.999, impl=impl)
        K.ema_update_([other], [k], 0.999, impl=impl)
    assert torch.equal(k, randn(1000, device=device))
    assert torch.equal(other, k)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 1.0])
def test_integer_and_boolean_tensors_are_copied(impl, device, momentum):
    values = torch.tensor([0, 1, 250, 7, 3], device=device)
    dtypes = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    sources = [values.to(dtype) for dtype in dtypes] + [torch.tensor(2**62, device=device)]
    targets = [torch.zeros_like(source) for source in sources]
    K.ema_update_(targets, sources, momentum, impl=impl)
    for target, source in zip(targets, sources, strict=True):
        assert torch.equal(target, source)


def layouts():
    """Makes targets and sources whose elements do not lie alike in memory, and the storage around the targets."""
    channels_last = torch.channels_last
    around = randn(9, 12, seed=9)
    targets = [
        randn(2, 3, 4, 5).to(memory_format=channels_last),
        randn(2, 3, 4, 5),
        randn(2, 3, 4, 5).to(memory_format=channels_last),
        randn(7, 5).T,
        around[::2, 1::3],
        randn(6),
        randn(41)[1:],
        randn(4, 1, 3),
        randn(6, 8)[:, ::2],
    ]
    sources = [
        randn(2, 3, 4, 5, seed=1),
        randn(2, 3, 4, 5, seed=1).to(memory_format=channels_last),
        randn(2, 3, 4, 5, seed=1).to(memory_format=channels_last),
        randn(5, 7, seed=1),
        randn(5, 4, seed=1),
        randn(1, seed=1).expand(6),
        randn(40, seed=1),
        randn(12, seed=1).as_strided((4, 1, 3), (3, 77, 1)),  # contiguous, for a size of 1 has no stride
        randn(6, 8, seed=1)[:, ::2],  # strided as its target is
    ]
    return targets, sources, around


def test_strides_and_memory_formats(impl, device):
    targets, sources, around = layouts()
    before, strides = copies(targets), [target.stride() for target in targets]
    outside = torch.ones_like(around, dtype=torch.bool)
    outside[::2, 1::3] = False
    untouched = around[outside].clone()
    if device.type != "cpu":
        targets, sources, before = ([t.to(device) for t in list_] for list_ in (targets, sources, before))
        strides = [target.stride() for target in targets]
    K.ema_update_(targets, sources, 0.25, impl=impl)
    assert_averaged(targets, before, sources, 0.25)
    assert [target.stride() for target in targets] == strides
    assert torch.equal(around[outside], untouched)


def test_no_tensors_and_no_elements(impl, device):
    K.ema_update_([], [], 0.5, impl=impl)
    empty, full = torch.empty(0, 3, device=device), torch.ones(2, device=device)
    K.ema_update_([empty, full, empty], [empty.clone(), torch.zeros_like(full), empty.clone()], 0.5, impl=impl)
    assert full.tolist() == [0.5, 0.5]


def test_more_tensors_than_one_launch_takes(impl, device):
    targets = [randn(5, seed=i, device=device) for i in range(1500)]
    sources = [randn(5, seed=-i - 1, device=device) for i in range(1500)]
    before = copies(targets)
    K.ema_update_(targets, sources, 0.5, impl=impl)
    assert_averaged(targets, before, sources, 0.5)


def test_a_real_network(impl, device):
    """Many steps of ResNet-18's parameters and buffers, from iterators as a training loop has them."""
    torch.manual_seed(0)
    student, teacher, truth = (resnet18(num_classes=10).to(device) for _ in range(3))
    truth.load_state_dict(teacher.state_dict())
    truth.double()
    for step in range(3):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        for buffer in student.buffers():
            buffer.add_(step)
        for tensors in (nn.Module.parameters, nn.Module.buffers):
            K.ema_update_(tensors(teacher), tensors(student), 0.9, impl=impl)
            reference.ema_update_(list(tensors(truth)), list(tensors(student)), 0.9)
    for (name, got), expected in zip(teacher.state_dict().items(), truth.state_dict().values(), strict=True):
        torch.testing.assert_close(got.double(), expected.double(), rtol=1e-6, atol=1e-6, msg=name)


@hypothesis.given(
    shape=st.lists(st.integers(0, 6), max_size=4),
    dtypes=st.tuples(st.sampled_from(DTYPES), st.sampled_from(DTYPES)),
    order=st.randoms(use_true_random=False),
    momentum=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
def test_compiled_matches_reference_for_any_shape_and_order_of_dimensions(shape, dtypes, order, momentum, seed):
    def draw(dtype, seed):
        dims = list(range(len(shape)))
        order.shuffle(dims)
        stored = randn(*(shape[dim] for dim in dims), seed=seed, dtype=dtype)
        return stored.permute([dims.index(dim) for dim in range(len(shape))])

    target, source = draw(dtypes[0], seed), draw(dtypes[1], seed + 1)
    expected = target.clone()
    reference.ema_update_([expected], [source], momentum)
    K.ema_update_([target], [source], momentum, impl="cpp")
    eps = torch.finfo(target.dtype).eps
    torch.testing.assert_close(target, expected, rtol=2 * eps, atol=2 * eps)


def test_bits_do_not_depend_on_threads_or_repetition():
    sizes = (3, 100_000, 70_001, 1)
    sources = [randn(n, seed=n) for n in sizes]
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3, 1):
            torch.set_num_threads(count)
            targets = [randn(n, seed=n + 1, dtype=torch.bfloat16) for n in sizes]
            K.ema_update_(targets, sources, 0.7, impl="cpp")
            results.append(torch.cat(targets))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(bits(result), bits(results[0])) for result in results)


def test_parameters_that_require_grad(impl, device):
    """They are updated outside any graph, and autograd learns that they changed."""
    k = nn.Parameter(torch.ones(3, device=device))
    q = nn.Parameter(torch.zeros(3, device=device))
    stale = (k * k).sum()
    K.ema_update_([k], [q], 0.5, impl=impl)
    assert k.tolist() == [0.5] * 3
    assert k.is_leaf
    assert q.grad is None
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()


def test_parameters_that_require_grad_in_another_memory_format(impl, device):
    k = nn.Parameter(torch.ones(2, 3, 4, 4, device=device).to(memory_format=torch.channels_last))
    q = nn.Parameter(torch.zeros(2, 3, 4, 4, device=device))
    K.ema_update_([k], [q], 0.5, impl=impl)
    assert torch.equal(k, torch.full_like(k, 0.5))
    assert k.is_leaf
    assert k.is_contiguous(memory_format=torch.channels_last)


def test_inference_mode(impl, device):
    with torch.inference_mode():
        k = torch.ones(3, device=device)
        K.ema_update_([k], [torch.zeros_like(k)], 0.5, impl=impl)
    assert k.tolist() == [0.5] * 3


ONE = torch.ones(2, 3)


@pytest.mark.parametrize("impl", ["reference", "auto", "cpp"])
@pytest.mark.parametrize(
    ("targets", "sources", "message"),
    [
        (nn.ReLU(), [ONE], r"expected targets to be tensors, got the module ReLU; pass its \.parameters\(\)"),
        ([ONE], nn.ReLU(), r"expected sources to be tensors, got the module ReLU; pass its \.parameters\(\)"),
        ([("weight", ONE)], [ONE], r"expected targets\[0\] to be a torch.Tensor, got tuple"),
        ([ONE, None], [ONE, ONE], r"expected targets\[1\] to be a torch.Tensor, got NoneType"),
        ([ONE], [1.0], r"expected sources\[0\] to be a torch.Tensor, got float"),
    ],
)
def test_what_is_no_tensor_is_named(impl, targets, sources, message):
    with pytest.raises(TypeError, match="^ema_update_: " + message):
        K.ema_update_(targets, sources, 0.5, impl=impl)


@pytest.mark.parametrize(
    ("targets", "sources", "momentum", "message"),
    [
        ([ONE] * 62, [ONE] * 61, 0.5, "expected 62 sources to match targets, got 61"),
        ([ONE, ONE], [ONE, ONE.T], 0.5, r"sources\[1\] of shape \(2, 3\) to match targets\[1\], got \(3, 2\)"),
        ([ONE], [ONE.long()], 0.5, r"expected sources\[0\] of dtype torch.float32 .* got torch.int64"),
        ([ONE.long()], [ONE], 0.5, r"expected sources\[0\] of dtype torch.int64 .* got torch.float32"),
        ([ONE.long()], [ONE.int()], 0.5, r"expected sources\[0\] of dtype torch.int64 .* got torch.int32"),
        ([ONE.cfloat()], [ONE.cfloat()], 0.5, r"expected targets\[0\] to be .* got torch.complex64"),
        ([ONE], [ONE.to("meta")], 0.5, r"expected sources\[0\] on cpu to match targets\[0\], got meta"),
        ([ONE], [ONE], 1.1, r"expected a momentum in \[0, 1\] or a 0-d tensor, got 1.1"),
        ([ONE], [ONE], float("nan"), "got nan"),
        ([ONE], [ONE], "0.5", "got '0.5'"),
        ([], [], -0.1, "got -0.1"),
        ([ONE], [ONE], torch.ones(1), r"expected a momentum tensor of shape \(\), float32 or float64, got \(1,\)"),
        ([ONE], [ONE], torch.tensor(1), "got .*torch.int64"),
        ([ONE], [ONE], torch.tensor(0.5, device="meta"), "expected the momentum tensor on cpu .* got meta"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("impl", ["reference", "auto", "cpp"])
def test_errors_say_what_was_expected_and_what_came(impl, targets, sources, momentum, message):
    targets = copies(targets)
    with pytest.raises(ValueError, match="^ema_update_: .*" + message):
        K.ema_update_(targets, sources, momentum, impl=impl)
    assert all(torch.equal(target, torch.ones_like(target)) for target in targets)


@pytest.mark.parametrize("source", [torch.zeros(2, 3), torch.zeros(3).expand(2, 3)], ids=["dense", "expanded"])
def test_an_expanded_target(impl, device, source):
    """The targets before it stay as they are too."""
    targets = [torch.ones(4, device=device), torch.ones(3, device=device).expand(2, 3)]
    sources = [torch.zeros(4, device=device), source.to(device)]
    message = r"expected targets\[1\], .* shape \(2, 3\) and strides \(0, 1\); pass a clone\(\) of it$"
    with pytest.raises(ValueError, match="^ema_update_: " + message):
        K.ema_update_(targets, sources, 0.5, impl=impl)
    assert all(target.eq(1).all() for target in targets)


def test_an_implementation_that_does_not_run_here_says_why():
    with pytest.raises(RuntimeError, match="impl='cuda' is not available: it runs on CUDA tensors, not on cpu"):
        K.ema_update_([ONE.clone()], [ONE], 0.5, impl="cuda")


def test_auto_takes_the_compiled_kernel(record_impls):
    assert K.available_impls("ema_update_", "cpu") == ["cpp", "reference"]
    called = record_impls("ema_update_")
    K.ema_update_([ONE.clone()], [ONE], 0.5)
    assert called == ["cpp"]


def test_the_usual_call_runs_few_functions_of_python():
    """With cold caches each takes about as long as a small tensor's average."""
    targets, sources = [ONE.clone()], [ONE]
    names = python_calls(lambda: K.ema_update_(targets, sources, 0.5))
    assert len(names) <= 7, names  # one is the lambda


def test_auto_passes_over_the_cuda_kernel(monkeypatch):
    monkeypatch.setitem(lib.MISSING, "cuda", None)
    assert K.available_impls("ema_update_", "cuda") == ["reference", "cuda"]
    assert OP.choose("auto", torch.device("cuda")) == "reference"
    assert OP.choose("cuda", torch.device("cuda")) == "cuda"


@pytest.mark.parametrize("momentum", [(0.5, None), (1.0, torch.tensor(0.5))])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("impl", ["cpp", "cuda"])
def test_opcheck(impl, device, momentum, requires_grad):
    floats = [randn(4, 3), randn(5, dtype=torch.bfloat16), randn(2, 3, 2, 2).to(memory_format=torch.channels_last)]
    lists = [
        [tensor.to(device).requires_grad_(requires_grad) for tensor in copies(floats)]
        + [torch.tensor(i, device=device)]
        for i in range(2)
    ]
    overload = getattr(torch.ops.sslfast.ema_update_, impl)
    torch.library.opcheck(overload, (*lists, *momentum))


@pytest.mark.parametrize("impl", ["cpp", "cuda"])
def test_compiles_without_a_graph_break(impl, device):
    @torch.compile(fullgraph=True)
    def step(targets, sources, momentum):
        K.ema_update_(targets, sources, momentum, impl=impl)
        return [2 * target for target in targets]

    sources = [randn(4, 3, seed=1, device=device), randn(7, seed=2, device=device)]
    for momentum in (0.9, 0.8, torch.tensor(0.7, device=device), torch.tensor(0.6, device=device)):
        targets = [randn(4, 3, device=device), randn(7, device=device)]
        before = copies(targets)
        doubled = step(targets, sources, momentum)
        assert_averaged(targets, before, sources, momentum)
        for two, target in zip(doubled, targets, strict=True):
            assert torch.equal(two, 2 * target)
