"""enqueue_: every implementation against the reference, and the reference against a list."""

import inspect

import hypothesis
import hypothesis.strategies as st
import pytest
import torch

from sslfast import kernels as K
from tests.kernels import interpreter

pytestmark = interpreter.QUIET
DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]


@pytest.fixture(params=["reference", "cpp", "triton"])
def impl(request):
    return request.param


def start(size, d, dtype=torch.float32, device="cpu", pointer=0):
    queue = torch.arange(size * d, dtype=torch.float64).view(size, d).add(1000).to(device, dtype)
    return queue, torch.tensor(pointer, device=device)


def keys_of(count, d, dtype=torch.float32, device="cpu", seed=0):
    return torch.randn(count, d, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def expected(queue, keys, pointer):
    queue, first = queue.clone(), pointer.item()
    for i, key in enumerate(keys):
        queue[(first + i) % len(queue)] = key.to(queue.dtype)
    return queue, (first + len(keys)) % len(queue)


@pytest.mark.parametrize("queue_dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_pair_of_dtypes(impl, device, queue_dtype, dtype):
    if impl == "triton" and queue_dtype == torch.bfloat16 and device.type == "cpu":
        pytest.skip("Triton 3.6's interpreter does not round to bf16")
    queue, pointer = start(37, 5, queue_dtype, device, pointer=30)
    for seed in range(3):
        keys = keys_of(19, 5, dtype, device, seed)
        want, position = expected(queue, keys, pointer)
        K.enqueue_(queue, keys, pointer, impl=impl)
        assert torch.equal(queue, want)
        assert pointer.item() == position


@hypothesis.given(
    size=st.integers(1, 40), d=st.integers(1, 140), data=st.data(), skip=st.sampled_from([None, False, True])
)
@hypothesis.settings(
    max_examples=15, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)  # `device` keeps no state
def test_any_shape_and_position(impl, device, size, d, data, skip):
    queue, pointer = start(size, d, device=device, pointer=data.draw(st.integers(0, size - 1)))
    keys = keys_of(data.draw(st.integers(0, size)), d, device=device)
    want, position = (queue.clone(), pointer.item()) if skip else expected(queue, keys, pointer)
    flag = None if skip is None else torch.tensor(skip, device=device)
    K.enqueue_(queue, keys, pointer, skip=flag, impl=impl)
    assert torch.equal(queue, want)
    assert pointer.item() == position


@pytest.mark.parametrize("pointer", [-1, -40, -(10**9), 37, 10**9])
def test_a_pointer_outside_of_the_queue_is_taken_modulo_its_size(impl, device, pointer):
    """Nothing else in memory is written: the queue is the middle of a larger tensor."""
    memory = torch.zeros(3 * 37, 5, device=device)
    queue, pointer = memory[37:-37], torch.tensor(pointer, device=device)
    for seed in range(2):
        keys = keys_of(36, 5, device=device, seed=seed)  # more than two programs' rows
        want, position = expected(queue, keys, pointer)
        K.enqueue_(queue, keys, pointer, impl=impl)
        assert torch.equal(queue, want)
        assert pointer.item() == position
    assert memory[:37].eq(0).all()
    assert memory[-37:].eq(0).all()


def test_a_skipped_step_changes_no_bit(impl, device):
    queue, pointer = start(8, 3, device=device, pointer=5)
    queue[6] = float("nan")
    before = queue.clone()
    keys = torch.full((4, 3), float("inf"), device=device)
    K.enqueue_(queue, keys, pointer, skip=torch.tensor(True, device=device), impl=impl)
    assert torch.equal(queue.view(torch.int32), before.view(torch.int32))
    assert pointer.item() == 5


def test_strided_tensors(impl, device):
    wide = torch.zeros(6, 8, device=device)
    queue, pointer = wide[:, ::2], torch.tensor(4, device=device)
    keys = keys_of(4, 3, device=device).T  # (3, 4)
    want, _ = expected(queue, keys, pointer)
    K.enqueue_(queue, keys, pointer, impl=impl)
    assert torch.equal(queue, want)
    assert wide[:, 1::2].eq(0).all()


def test_keys_with_a_gradient(impl, device):
    queue, pointer = start(4, 3, device=device)
    K.enqueue_(queue, keys_of(2, 3, device=device).requires_grad_(), pointer, impl=impl)
    assert not queue.requires_grad


def test_strided_leaves_belong_to_no_graph(impl, device):
    queue = torch.zeros(3, 4, device=device).T.requires_grad_()
    keys, pointer = keys_of(3, 2, device=device).T.requires_grad_(), torch.tensor(3, device=device)
    want, _ = expected(queue.detach(), keys.detach(), pointer)
    K.enqueue_(queue, keys, pointer, impl=impl)
    assert torch.equal(queue, want)
    assert queue.is_leaf
    assert keys.is_leaf


def test_many_keys_around_the_end(impl, device):
    queue, pointer = torch.zeros(600, 256, device=device), torch.tensor(300, device=device)
    keys = keys_of(500, 256, device=device).half()
    want, _ = expected(queue, keys, pointer)
    K.enqueue_(queue, keys, pointer, impl=impl)
    assert torch.equal(queue, want)
    assert pointer.item() == 200


QUEUE, POINTER = torch.zeros(5, 3), torch.tensor(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queue": torch.zeros(5)}, r"expected queue of shape \(K, D\), got \(5,\)"),
        ({"keys": torch.zeros(6, 3)}, r"expected keys of shape \(N <= 5, 3\), got \(6, 3\)"),
        ({"keys": torch.zeros(2, 4)}, r"expected keys of shape \(N <= 5, 3\), got \(2, 4\)"),
        ({"keys": torch.zeros(2, 3).long()}, r"expected keys of dtype torch.float32, .* got torch.int64"),
        ({"keys": torch.zeros(2, 3, device="meta")}, r"expected keys on cpu to match queue, got meta"),
        (
            {"pointer": torch.zeros(1).long()},
            r"expected pointer of shape \(\), torch.int64, got \(1,\), torch.int64",
        ),
        ({"pointer": torch.tensor(0.0)}, r"expected pointer of shape \(\), torch.int64, got \(\), torch.float32"),
        ({"skip": torch.tensor(0)}, r"expected skip of shape \(\), torch.bool, got \(\), torch.int64"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(change, message):
    arguments = {"queue": QUEUE, "keys": torch.zeros(2, 3), "pointer": POINTER} | change
    with pytest.raises(ValueError, match="^enqueue_: " + message):
        K.enqueue_(**arguments)


def test_an_expanded_queue(impl, device):
    """The rows of such a queue are one and the same; they and the pointer stay as they are."""
    queue, pointer = torch.zeros(3, device=device).expand(5, 3), torch.tensor(4, device=device)
    message = r"^enqueue_: expected queue, .* shape \(5, 3\) and strides \(0, 1\); pass a clone\(\) of it$"
    with pytest.raises(ValueError, match=message):
        K.enqueue_(queue, torch.ones(2, 3, device=device), pointer, impl=impl)
    assert queue.eq(0).all()
    assert pointer.item() == 4
    K.enqueue_(queue[:1], torch.ones(1, 3, device=device), torch.zeros_like(pointer), impl=impl)
    assert queue.eq(1).all()  # a single row has memory of its own, whatever its stride


def test_auto_takes_the_compiled_kernel(record_impls):
    called = record_impls("enqueue_")
    K.enqueue_(*start(4, 3)[:1], keys_of(2, 3), torch.tensor(0))
    assert called == ["cpp"]


@pytest.mark.parametrize("impl", ["cpp", "triton"])
@pytest.mark.parametrize("skip", [None, False])
def test_opcheck(impl, device, skip):
    flag = None if skip is None else torch.tensor(skip, device=device)
    overload = getattr(torch.ops.sslfast.enqueue_, impl)
    queue, pointer = start(4, 3, device=device)
    torch.library.opcheck(overload, (queue, keys_of(2, 3, device=device), pointer, flag))


@pytest.mark.parametrize("impl", ["cpp", "triton"])
def test_compiles_into_a_full_graph(impl, device):
    @torch.compile(fullgraph=True, backend="aot_eager")
    def step(queue, keys, pointer):
        K.enqueue_(queue, 2 * keys, pointer, impl=impl)
        return queue.sum()

    queue, pointer = start(7, 3, device=device, pointer=5)
    keys = keys_of(4, 3, device=device)
    want, position = expected(queue, 2 * keys, pointer)
    assert step(queue, keys, pointer) == want.sum()
    assert torch.equal(queue, want)
    assert pointer.item() == position


@pytest.mark.gpu
def test_a_cuda_graph_goes_round_the_queue():
    queue, pointer = start(1000, 96, device="cuda")
    keys = keys_of(300, 96, device="cuda")
    K.enqueue_(queue, keys, pointer, impl="triton")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        K.enqueue_(queue, keys, pointer, impl="triton")
    for _ in range(10):
        keys.add_(1)
        want, position = expected(queue, keys, pointer)
        graph.replay()
        assert torch.equal(queue, want)
        assert pointer.item() == position


def test_offsets_are_int64():
    """A queue may have more than 2^31 elements."""
    triton_kernels = pytest.importorskip("sslfast.kernels.enqueue.triton_kernels")
    source = inspect.getsource(triton_kernels)
    assert "o_n.to(tl.int64)[:, None] * D" in source
    assert "o_row = (pointer + o_n) % K  # [BN] int64" in source
