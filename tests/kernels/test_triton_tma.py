"""The forms of info_nce and nearest_neighbor that copy tiles by TMA: held to the plain ones, run by name only."""

import math
import types

import pytest
import torch
from torch.nn import functional as F

from sslfast import kernels as K
from sslfast.kernels.common import op as lib
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_no_worse_than_eager, results

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
T = 0.1
DTYPES = (torch.float16, torch.bfloat16)
# (N, K, D): one row, rows and keys that fill their tiles and that do not, several parts, each width of a tile.
SHAPES = [
    (1, 1, 8),
    (5, 37, 24),
    (9, 256, 128),
    (9, 1030, 64),
    (130, 300, 128),
    (3, 700, 200),
    (16, 160, 256),
]
by_name = pytest.mark.parametrize("op", ["info_nce", "nearest_neighbor"])


@pytest.fixture
def impl(device_of_tma):
    return "triton_tma"


@pytest.fixture
def device_of_tma():
    device = "cuda" if GPU else "cpu"
    if reason := lib.OPS["info_nce"].why_not("triton_tma", device):
        pytest.skip(reason)
    return device


def rows(*counts, d, device, dtype=torch.float16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(count, d, generator=generator), dim=1).to(device, dtype) for count in counts]


def whole(*counts, d, device):
    """Draws rows of small whole numbers, whose products are exact in whatever order they are added."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(-2, 3, (count, d), generator=generator).to(device, torch.float16) for count in counts]


@pytest.mark.parametrize("shape", [*SHAPES, (2, 0, 8)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_info_nce_is_no_worse_than_eager(impl, device, dtype, shape):
    interpreter.skip_products_in_bf16(impl, dtype)
    n, k, d = shape
    tensors = rows(n, n, k, d=d, device=device, dtype=dtype)
    assert_no_worse_than_eager(K.info_nce, impl, *tensors, asks=(0, 1), temperature=T, reduction="none")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_info_nce_is_near_the_plain_form(impl, device, shape):
    n, k, d = shape
    tensors = rows(n, n, k, d=d, device=device)
    options = {"asks": (0, 1), "temperature": T, "reduction": "none"}
    out, plain = (results(K.info_nce, name, *tensors, **options) for name in (impl, "triton"))
    torch.testing.assert_close(out[0], plain[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[1:], plain[1:], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_info_nce_counts_as_the_plain_form_does(impl, device, shape):
    n, k, d = shape
    tensors = whole(n, n, k, d=d, device=device)
    (_, ranks), (_, plain) = (
        K.info_nce(*tensors, temperature=10, return_rank=True, impl=name) for name in (impl, "triton")
    )
    assert torch.equal(ranks, plain)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nearest_neighbor_finds_the_best(impl, device, dtype, shape, normalized):
    interpreter.skip_products_in_bf16(impl, dtype)
    n, k, d = shape
    query, queue = rows(n, k, d=d, device=device, dtype=dtype)
    indices, similarity = K.nearest_neighbor(query, queue, normalized=normalized, impl=impl)
    lengths = torch.ones(k) if normalized else queue.double().norm(dim=1)
    cosines = F.normalize(query.double(), dim=1) @ queue.double().T / lengths.to(query.device)
    found = cosines.gather(1, indices[:, None])[:, 0]
    torch.testing.assert_close(found, cosines.amax(1), rtol=0, atol=2e-6)
    torch.testing.assert_close(similarity.double(), found, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nearest_neighbor_finds_what_the_plain_form_does(impl, device, shape):
    n, k, d = shape
    query, queue = whole(n, k, d=d, device=device)  # with many rows that are equally good
    found, plain = (K.nearest_neighbor(query, queue, normalized=True, impl=name) for name in (impl, "triton"))
    assert all(map(torch.equal, found, plain))


def test_rows_with_nan(impl, device):
    """In the query they stay alone; a key of InfoNCE shows everywhere, a row to look up is found last."""
    query, positive, queue = rows(20, 20, 300, d=64, device=device)
    losses, found = (
        lambda: K.info_nce(query, positive, queue, temperature=T, reduction="none", impl=impl),
        lambda: K.nearest_neighbor(query, queue, normalized=True, impl=impl)[0],
    )
    expected, nearest = losses(), found()
    query[7, 3] = math.nan
    others = torch.arange(20) != 7
    assert torch.equal(losses()[others], expected[others])
    assert losses()[7].isnan()
    assert torch.equal(found()[others], nearest[others])
    assert found()[7] == 0
    queue[[0, 299]] = math.nan
    assert losses().isnan().all()
    assert ((found()[others] != 0) & (found()[others] != 299)).all()


def test_a_single_row_of_any_stride(impl, device):
    """It counts as contiguous whatever its stride, which here is no multiple of 16 bytes."""
    query, queue = (x[:, :24] for x in rows(1, 1, d=49, device=device))
    assert query.is_contiguous()
    tensors = query, query, queue
    out, plain = (K.info_nce(*tensors, temperature=T, impl=name) for name in (impl, "triton"))
    torch.testing.assert_close(out, plain)
    assert K.nearest_neighbor(query, queue, impl=impl)[0] == 0


def test_the_allocator_of_other_kernels_stays_what_it_is(impl, device):
    allocation = pytest.importorskip("triton.runtime._allocation")
    before = allocation._allocator.get()
    call("info_nce", device=device)
    assert allocation._allocator.get() is before


def call(op, *, dtype=torch.float16, d=16, device="cpu", impl="triton_tma", **options):
    tensors = [torch.ones(count, d, dtype=dtype, device=device) for count in (4, 4, 20)]
    if op == "info_nce":
        return K.info_nce(*tensors, temperature=T, impl=impl, **options)
    return K.nearest_neighbor(*tensors[1:], impl=impl, **options)


@by_name
@pytest.mark.parametrize("d", [20, 264])
def test_widths_that_it_does_not_take(op, impl, device, d):
    message = (
        f"^{op}: impl='triton_tma' is not available: it takes rows of D columns .*, got D = {d}; use impl='tr"
    )
    with pytest.raises(RuntimeError, match=message):
        call(op, d=d, device=device)


def test_it_looks_up_one_row(impl, device):
    message = "^nearest_neighbor: impl='triton_tma' is not available: it finds one row .*, got k = 3; use impl='tr"
    with pytest.raises(RuntimeError, match=message):
        call("nearest_neighbor", device=device, k=3)


@by_name
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_dtypes_that_it_does_not_take(op, dtype, impl, device):
    message = (
        f"^{op}: impl='triton_tma' is not available: it has no kernel for {dtype}; use impl='reference' or one"
    )
    with pytest.raises(RuntimeError, match=message):
        call(op, dtype=dtype, device=device)


@by_name
def test_cpu_tensors(op, monkeypatch):
    monkeypatch.setattr(lib, "INTERPRET", False)
    with pytest.raises(
        RuntimeError, match="'triton_tma' is not available: it runs on CUDA tensors, not on cpu; TRI"
    ):
        call(op)


@pytest.fixture
def gpu(monkeypatch):
    """Gives gpu(major, minor), which lets torch see a GPU of this compute capability."""

    def see(major, minor):
        properties = types.SimpleNamespace(major=major, minor=minor)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)

    return see


@by_name
@pytest.mark.parametrize("capability", [(8, 0), (12, 0)])
def test_gpus_that_it_does_not_run_on(op, gpu, capability):
    gpu(*capability)
    major, minor = capability
    message = f"it runs on GPUs of compute capability 9.x or 10.x, not {major}.{minor}; use impl='triton'"
    with pytest.raises(RuntimeError, match=f"^{op}: impl='triton_tma' is not available: {message}$"):
        lib.OPS[op].choose("triton_tma", torch.device("cuda", 1), torch.float16)


@by_name
def test_no_gpu(op, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert K.available_impls(op, "cuda") == ["triton", "reference"]
    with pytest.raises(RuntimeError, match="compute capability 9.x or 10.x, and torch sees no GPU$"):
        lib.OPS[op].choose("triton_tma", torch.device("cuda"), torch.float16)


@by_name
@pytest.mark.parametrize("capability", [(9, 0), (10, 0), (10, 3)])
def test_it_runs_where_it_is_asked_for_by_name(op, gpu, capability):
    gpu(*capability)
    device = torch.device("cuda")
    assert lib.OPS[op].choose("triton_tma", device, torch.bfloat16) == "triton_tma"
    assert K.available_impls(op, "cuda") == ["triton", "reference", "triton_tma"]
    assert lib.OPS[op]._choose("cuda", torch.bfloat16) == "triton"
