"""The promises of every op, whatever it computes: see subjects/ for the ops."""

import math

import pytest
import torch
from torch import Tensor

from sslfast.kernels.common import op as lib
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_accurate, results
from tests.kernels.subjects import Subject, subjects

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
SUBJECTS = {str(subject): subject for subject in subjects()}
CASES = [
    pytest.param((name, impl), id=f"{name}-{impl}")
    for name, subject in SUBJECTS.items()
    for impl in subject.impls or lib.OPS[subject.op].impls
]


@pytest.fixture(params=CASES)
def case(request):
    return request.param


@pytest.fixture
def subject(case) -> Subject:
    return SUBJECTS[case[0]]


@pytest.fixture
def impl(case) -> str:
    return case[1]


@pytest.fixture
def make(subject, impl, device):
    """Gives make(dtype): the subject's inputs on the device; by default in fp32, or fp16 for want of a kernel."""

    def inputs(dtype=torch.float16 if impl == "triton_tma" else torch.float32):
        if impl == "triton_tma" and (reason := lib.OPS[subject.op].why_not(impl, device.type)):
            pytest.skip(reason)
        return tuple(tensor.to(device) for tensor in subject.inputs(dtype))

    return inputs


def skip_fp32_by_tma(impl: str, dtype: torch.dtype) -> None:
    if impl == "triton_tma" and dtype == torch.float32:
        pytest.skip("it has no kernel for fp32")


def as_tuple(out):
    return out if isinstance(out, tuple) else (out,)


def run(subject: Subject, tensors, impl: str, asks=None):
    """Returns the results, and the gradients of their weighted sum to the inputs in `asks` (default: all)."""
    return results(subject.call, impl, *tensors, asks=subject.differentiable if asks is None else asks)


def assert_same_bits(got, expected):
    assert len(got) == len(expected)
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert torch.equal(a, b), f"result {i} differs by {(a - b).abs().max()}"


def recorded_calls(subject: Subject, tensors, impl, monkeypatch):
    """Records the arguments with which the compiled operator is called."""
    op, calls = lib.OPS[subject.op], []
    original = op.call
    monkeypatch.setattr(op, "call", lambda *args: calls.append(args) or original(*args))
    subject.call(*tensors, impl=impl)
    monkeypatch.undo()
    return calls


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_no_worse_than_eager(subject, impl, make, dtype):
    if subject.dot:
        interpreter.skip_products_in_bf16(impl, dtype)
    skip_fp32_by_tma(impl, dtype)
    tensors = make(dtype)
    wide = [tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors]
    each = run(subject, tensors, impl), run(subject, tensors, "reference"), run(subject, wide, "reference")
    for out, eager, truth in zip(*each, strict=True):
        if truth.is_floating_point():
            assert_accurate(out, eager, truth, dtype)
        else:
            assert torch.equal(out, truth)


def test_the_reference_has_the_derivatives_it_claims(subject):
    if not subject.differentiable:
        pytest.skip("no derivative")
    tensors = [x.double() if x.is_floating_point() else x for x in subject.inputs(torch.float32)]
    tensors = [x.requires_grad_(i in subject.differentiable) for i, x in enumerate(tensors)]
    assert torch.autograd.gradcheck(
        lambda *args: subject.call(*args, impl="reference"), tensors, fast_mode=True, atol=1e-4
    )


LAYOUTS = {
    "transposed": lambda x: x.mT.contiguous().mT if x.ndim > 1 else x,
    "every second element": lambda x: torch.stack([x, x], -1)[..., 0],
    "a part of wider rows": lambda x: torch.cat([x, x], -1)[..., x.shape[-1] :],
    "unaligned": lambda x: torch.cat([x.flatten()[:1], x.flatten()])[1:].view_as(x),
    "channels last": lambda x: x.to(memory_format=torch.channels_last) if x.ndim == 4 else x,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)  # some kernels treat these differently
def test_any_memory_layout(subject, impl, make, dtype, layout):
    skip_fp32_by_tma(impl, dtype)
    tensors = make(dtype)
    expected = run(subject, tensors, impl)
    got = run(subject, [LAYOUTS[layout](tensor) for tensor in tensors], impl)
    if subject.bit_equal_layouts:
        assert_same_bits(got, expected)
    torch.testing.assert_close(got, expected)


def test_the_same_bits_every_time(subject, impl, make):
    tensors = make(torch.float16)
    first = run(subject, tensors, impl)
    for _ in range(3):
        assert_same_bits(run(subject, tensors, impl), first)


def test_cpp_gives_the_same_bits_with_any_number_of_threads(subject, impl, make):
    if impl != "cpp":
        pytest.skip("of the C++ kernels")
    tensors, threads, results = make(), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run(subject, tensors, impl))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_nothing_is_read_before_it_is_written(subject, impl, make):
    """Fresh memory is filled with NaN here."""
    tensors = make()
    expected = run(subject, tensors, impl)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(1).isnan()
        assert_same_bits(run(subject, tensors, impl), expected)
    finally:
        torch.use_deterministic_algorithms(before)


def test_inputs_stay_as_they_are(subject, impl, make):
    tensors = make()
    copies = [tensor.clone() for tensor in tensors]
    run(subject, tensors, impl)
    assert_same_bits(tensors, copies)


def test_a_gradient_to_what_asks_only(subject, impl, make):
    if len(subject.differentiable) < 2:
        pytest.skip("at most one gradient")
    tensors = make()
    gradients = run(subject, tensors, impl)[-len(subject.differentiable) :]
    for position, expected in zip(subject.differentiable, gradients, strict=True):
        alone = run(subject, tensors, impl, asks=(position,))[-1]
        torch.testing.assert_close(alone, expected)


def test_no_graph_without_a_gradient(subject, impl, make):
    assert not any(out.requires_grad for out in as_tuple(subject.call(*make(), impl=impl)))


def test_second_derivatives_are_refused(subject, impl, make):
    if not subject.differentiable:
        pytest.skip("no derivative")
    tensors = list(make())
    first = subject.differentiable[0]
    tensors[first].requires_grad_()
    loss = next(out for out in as_tuple(subject.call(*tensors, impl=impl)) if out.requires_grad).sum()
    with pytest.raises(RuntimeError, match=f"{subject.op}: its gradient cannot be differentiated again"):
        torch.autograd.grad(loss, tensors[first], create_graph=True)


def test_autocast_casts_as_for_a_matmul_or_not_at_all(subject, impl, make, device):
    tensors = make(torch.float32)
    with torch.autocast(device.type, torch.float16):
        out = run(subject, tensors, impl)
    cast = [tensor.half() if subject.autocast and tensor.is_floating_point() else tensor for tensor in tensors]
    expected = run(subject, cast, impl)
    for value, want in zip(out, expected, strict=True):
        assert torch.equal(value, want.to(value.dtype))
    for i, gradient in zip(subject.differentiable, out[len(out) - len(subject.differentiable) :], strict=True):
        assert gradient.dtype == tensors[i].dtype


def test_the_operator_itself_ignores_autocast(subject, impl, make, device, monkeypatch):
    for chosen, *args in recorded_calls(subject, make(), impl, monkeypatch):
        expected = as_tuple(lib.OPS[subject.op].call(chosen, *args))
        with torch.autocast(device.type, torch.bfloat16):
            assert_same_bits(as_tuple(lib.OPS[subject.op].call(chosen, *args)), expected)


def test_fp64_runs_the_reference_only(subject, impl, make):
    if torch.float64 in lib.OPS[subject.op].dtypes:
        pytest.skip("has kernels for it")
    tensors = make(torch.float64)
    assert_same_bits(
        as_tuple(subject.call(*tensors, impl="auto")), as_tuple(subject.call(*tensors, impl="reference"))
    )
    message = f"{subject.op}: impl='{impl}' is not available: it has no kernel for torch.float64"
    with pytest.raises(RuntimeError, match=message):
        subject.call(*tensors, impl=impl)


def test_opcheck(subject, impl, make, monkeypatch):
    tensors = [x.requires_grad_(i in subject.differentiable) for i, x in enumerate(make())]
    calls = recorded_calls(subject, tensors, impl, monkeypatch)
    assert calls
    for chosen, *args in calls:
        torch.library.opcheck(getattr(getattr(torch.ops.sslfast, subject.op), chosen), tuple(args))


def test_compiles_into_a_full_graph(subject, impl, make, device):
    def scaled(*tensors: Tensor):
        return subject.call(*(x * 1.5 if x.is_floating_point() else x for x in tensors), impl=impl)

    torch.compiler.reset()  # `scaled` is one function to it for all ops, which it compiles so many times only
    compiled = torch.compile(scaled, fullgraph=True, backend="aot_eager")
    tensors = [x.requires_grad_(i in subject.differentiable) for i, x in enumerate(make())]
    out, expected = as_tuple(compiled(*tensors)), as_tuple(scaled(*tensors))
    assert_same_bits(out, expected)
    if subject.differentiable:
        asking = [tensors[i] for i in subject.differentiable]
        gradients = (
            torch.autograd.grad(sum(x.sum() for x in each if x.requires_grad), asking) for each in (out, expected)
        )
        torch.testing.assert_close(*gradients)


@pytest.mark.gpu
def test_cuda_graph(subject, impl, make):
    if impl == "cpp":
        pytest.skip("on the CPU")
    static = [tensor.requires_grad_(i in subject.differentiable) for i, tensor in enumerate(make(torch.bfloat16))]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run(subject, static, impl)  # compiles
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run(subject, static, impl)
    with torch.no_grad():
        for tensor in static:
            if tensor.is_floating_point():
                tensor.copy_(tensor.flip(-1) * math.sqrt(0.5))
    graph.replay()
    assert_same_bits(captured, run(subject, static, impl))
