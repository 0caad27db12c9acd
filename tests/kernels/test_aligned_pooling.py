"""Aligned pooling: each channel under its own map, shapes, layouts, extreme values, errors, invariances."""

import functools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sslfast import kernels as K
from sslfast.kernels.aligned_pooling import op
from tests.kernels import interpreter
from tests.kernels.accuracy import assert_accurate, assert_no_worse_than_eager, results

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
# (B, d, D, H, W, groups): ones, one position, odd sizes, more than a tile of each of d, D and positions.
SHAPES = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 5, 1, 1, 1),
    (2, 6, 9, 3, 5, 3),
    (3, 8, 20, 7, 7, 4),
    (1, 70, 140, 9, 8, 1),
    (1, 140, 12, 2, 3, 2),
]


@pytest.fixture(params=["cpp", "triton"])
def impl(request):
    return request.param


def inputs(shape, dtype=torch.float32, device="cpu", seed=0) -> tuple[Tensor, Tensor]:
    b, d, channels, height, width, _ = shape
    generator = torch.Generator().manual_seed(seed)
    tensors = (torch.randn(b, c, height, width, generator=generator) for c in (channels, d))
    return tuple(tensor.to(device, dtype) for tensor in tensors)


run = functools.partial(results, K.aligned_pooling, asks=(0, 1))
check_accuracy = functools.partial(assert_no_worse_than_eager, K.aligned_pooling, asks=(0, 1), dtype=None)


def by_loops(features, maps, groups, order):
    """Computes the paper's equations, one number at a time."""
    (b, channels), d = features.shape[:2], maps.shape[1]
    pooled = torch.zeros(b, d // groups, channels, dtype=features.dtype)
    for i in range(b):
        normalized = maps[i] / maps[i].norm(dim=0)
        for k in range(d // groups):
            for e in range(channels):
                g = e // (channels // groups)
                number = g * (d // groups) + k if order == "published" else k * groups + g
                weights = normalized[number].exp()
                pooled[i, k, e] = (weights * features[i, e]).sum() / weights.sum()
    return pooled


@pytest.mark.parametrize("order", ["published", "paper"])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_each_channel_is_pooled_under_its_own_map(impl, device, groups, order):
    features, maps = inputs((2, 12, 18, 3, 4, groups))
    expected = by_loops(features.double(), maps.double(), groups, order).float()
    for chosen in (impl, "reference"):
        pooled = K.aligned_pooling(
            features.to(device), maps.to(device), groups=groups, order=order, impl=chosen
        ).cpu()
        torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_results_and_gradients(impl, device, dtype, shape):
    interpreter.skip_products_in_bf16(impl, dtype)
    check_accuracy(impl, *inputs(shape, dtype, device), groups=shape[-1])


def test_the_order_of_the_paper(impl, device):
    check_accuracy(impl, *inputs((2, 12, 18, 3, 4, 3), device=device), groups=3, order="paper")


def test_many_positions(impl, device):
    check_accuracy(impl, *inputs((1, 2, 3, 33, 32, 1), device=device))


@pytest.mark.parametrize("scale", [1e-6, 1e4])
def test_only_the_direction_of_the_maps_matters(impl, device, scale):
    features, maps = inputs((2, 6, 9, 3, 5, 3), device=device)
    check_accuracy(impl, features * 1e4, maps * scale, groups=3)
    pooled, d_features, d_maps = run(impl, features, maps)
    scaled, d_same, d_scaled = run(impl, features, maps * scale)
    torch.testing.assert_close((scaled, d_same, d_scaled * scale), (pooled, d_features, d_maps))


def test_equal_maps_give_average_pooling(impl, device):
    features, maps = inputs((2, 4, 9, 3, 5, 1), device=device)
    pooled = K.aligned_pooling(features, torch.ones_like(maps) * 3, impl=impl)
    torch.testing.assert_close(pooled, features.mean((2, 3))[:, None].expand(-1, 4, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("size", [0, 1e-14])
def test_maps_of_zeros_at_a_position(impl, device, dtype, size):
    features, maps = inputs((2, 4, 9, 3, 5, 1), dtype, device)
    maps[:, :, 1, 2] = torch.tensor([size, 0, 0, -size], device=device)  # shorter than the norm's least
    out, eager = (run(name, features, maps) for name in (impl, "reference"))
    truth = run("reference", features.double(), maps.double())
    for values in zip(out, eager, truth, strict=True):
        small = values[2].abs() < 1e6  # the gradient at that position is of size 1e12
        assert_accurate(*(x.where(small, torch.zeros_like(x)) for x in values), dtype)
    if dtype == torch.float32:
        torch.testing.assert_close(out[2].double(), truth[2], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1], ids=["features", "maps"])
def test_a_bad_image_stays_alone(impl, device, which, bad):
    tensors = inputs((3, 4, 9, 3, 5, 1), device=device)
    expected = run(impl, *tensors)
    tensors[which][1, 2, 0, 3] = bad
    for out, want in zip(run(impl, *tensors), expected, strict=True):
        assert torch.equal(out[[0, 2]], want[[0, 2]])
    assert not run(impl, *tensors)[0][1].isfinite().all()


def test_a_bad_feature_stays_in_its_channel(impl, device):
    features, maps = inputs((1, 4, 9, 3, 5, 1), device=device)
    features[0, 2, 1, 1] = math.nan
    pooled = K.aligned_pooling(features, maps, impl=impl)
    assert pooled[0, :, 2].isnan().all()
    assert pooled[0, :, [0, 1, 3, 4, 5, 6, 7, 8]].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_gradients_have_the_layout_of_the_features(impl, device, dtype, memory_format):
    features, maps = inputs((2, 6, 9, 3, 5, 3), dtype, device)
    features = features.to(memory_format=memory_format)
    _, d_features, _ = run(impl, features, maps)
    assert d_features.is_contiguous(memory_format=memory_format)


def test_features_are_not_copied(monkeypatch):
    """Neither layout is brought into the other before the kernel."""
    given = []
    call = op.OP.call
    monkeypatch.setattr(op.OP, "call", lambda impl, *args: given.append(args[0]) or call(impl, *args))
    features, maps = inputs((2, 6, 9, 3, 5, 3))
    for memory_format in (torch.contiguous_format, torch.channels_last):
        features = features.contiguous(memory_format=memory_format)
        K.aligned_pooling(features, maps, impl="cpp")
        assert given[-1].data_ptr() == features.data_ptr()


@pytest.mark.parametrize("asks", [(0,), (1,), (0, 1)], ids=["features", "maps", "both"])
@pytest.mark.parametrize("d", [6, 70])  # the Triton kernels make both gradients in one pass where maps are few
def test_gradients_that_are_asked_for(impl, device, d, asks):
    tensors = inputs((2, d, 36, 3, 5, 2), device=device)
    assert_no_worse_than_eager(K.aligned_pooling, impl, *tensors, asks=asks, dtype=None, groups=2)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
def test_maps_of_either_layout(impl, device, memory_format):
    features, maps = inputs((2, 36, 20, 5, 7, 2), device=device)
    maps = maps.contiguous(memory_format=memory_format)
    check_accuracy(impl, features, maps, groups=2)
    check_accuracy(impl, features.contiguous(memory_format=torch.channels_last), maps, groups=2, order="paper")


def test_images_whose_offsets_take_more_than_32_bits():
    """The Triton kernels say so, or copy where only the strides are large."""
    launch = pytest.importorskip("sslfast.kernels.aligned_pooling.triton_launch")
    many, maps = (torch.empty(1, channels, 2**15, device="meta") for channels in (2**16, 2))
    with pytest.raises(ValueError, match=r"aligned_pooling: expected fewer than 2\^31 .* got 2147483648"):
        launch.aligned_pooling(many, maps, 1, False)
    far = torch.empty_strided((1, 2, 4), (2**33, 2**31, 1), device="meta")
    features, _ = launch._prepared(far, torch.empty(1, 2, 4, device="meta"), 1)
    assert features.is_contiguous()


def test_a_grid_holds_any_number_of_positions(monkeypatch):
    """CUDA's grids end at 65535 in all dimensions but the first. No kernel runs here."""
    launch = pytest.importorskip("sslfast.kernels.aligned_pooling.triton_launch")
    grids = {}

    class Recorder:
        def __init__(self, name):
            self.name = name

        def __getitem__(self, grid):
            grids[self.name] = grid
            return lambda *args, **options: None

    for name in ("norm", "pool", "features_grad", "weights_grad", "maps_grad"):
        monkeypatch.setattr(launch, f"{name}_kernel", Recorder(name))
    features, maps = torch.empty(2, 4, 1024**2, device="meta"), torch.empty(2, 20, 1024**2, device="meta")
    pooled, *saved = launch.aligned_pooling(features, maps, 1, False)
    launch.aligned_pooling_backward(pooled, features, maps, *saved, 1, False, True, True)
    assert len(grids) == 5
    assert all(max(grid[1:], default=1) <= 65535 for grid in grids.values()), grids


def test_opcheck_of_the_backward_operator(impl, device):
    features, maps = (x.flatten(2) for x in inputs((2, 6, 9, 3, 5, 3), device=device))
    pooled, norms, sums = op.OP.call(impl, features, maps, 3, False)
    backward = getattr(torch.ops.sslfast.aligned_pooling_backward, impl)
    for arguments in ((features.mT.contiguous().mT, True, True), (features, False, True)):
        strided, *needs = arguments
        torch.library.opcheck(backward, (torch.ones_like(pooled), strided, maps, norms, sums, 3, False, *needs))


def test_no_gradient_is_computed_in_vain(impl, device, monkeypatch):
    asked = []
    call = op.BACKWARD.call
    monkeypatch.setattr(op.BACKWARD, "call", lambda *args: asked.append(args[-2:]) or call(*args))
    features, maps = inputs((2, 6, 9, 3, 5, 3), device=device)
    K.aligned_pooling(features.requires_grad_(), maps, impl=impl).sum().backward()
    K.aligned_pooling(features.detach(), maps.requires_grad_(), impl=impl).sum().backward()
    assert asked == [(True, False), (False, True)]


def test_no_images(impl, device):
    features, maps = inputs((0, 6, 9, 3, 5, 3), device=device)
    assert [x.shape for x in run(impl, features, maps, groups=3)] == [(0, 2, 9), (0, 9, 3, 5), (0, 6, 3, 5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"features": torch.randn(2, 9, 15)},
            "expected features of shape (B, D, H, W) with D, H, W > 0, got (2, 9, 15)",
        ),
        (
            {"features": torch.randn(2, 0, 3, 5)},
            "expected features of shape (B, D, H, W) with D, H, W > 0, got (2, 0, 3, 5)",
        ),
        (
            {"maps": torch.randn(2, 6, 3, 4)},
            "expected maps of shape (2, d, 3, 5) with d > 0 to match features, got (2, 6, 3, 4)",
        ),
        (
            {"maps": torch.randn(2, 6, 15)},
            "expected maps of shape (2, d, 3, 5) with d > 0 to match features, got (2, 6, 15)",
        ),
        (
            {"maps": torch.randn(2, 6, 3, 5).half()},
            "expected maps of dtype torch.float32 to match features, got torch.float16",
        ),
        (
            {"features": torch.ones(2, 9, 3, 5).long()},
            "expected features of a floating-point dtype, got torch.int64",
        ),
        ({"groups": 2}, "expected groups that divide the 9 channels of features and the 6 of maps, got 2"),
        ({"groups": 0}, "expected groups that divide the 9 channels of features and the 6 of maps, got 0"),
        ({"order": "eq2"}, "expected order to be 'published' or 'paper', got 'eq2'"),
    ],
)
def test_errors_say_what_came(change, message):
    features, maps = inputs((2, 6, 9, 3, 5, 3))
    arguments = {"features": features, "maps": maps} | change
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.aligned_pooling(**arguments)
    assert str(error.value) == f"aligned_pooling: {message}"


def test_auto_runs_the_compiled_kernel(record_impls):
    called = record_impls("aligned_pooling")
    K.aligned_pooling(*inputs((2, 6, 9, 3, 5, 3), device="cuda" if GPU else "cpu"))
    assert called == ["triton" if GPU else "cpp"]


shapes = st.tuples(*(st.integers(1, 4) for _ in range(5)), st.integers(1, 2)).map(
    lambda s: (s[0], s[1] * s[5], s[2] * s[5], s[3], s[4], s[5])
)
properties = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@properties
@given(shape=shapes, seed=st.integers(0, 2**31))
def test_the_order_of_positions_does_not_matter(impl, device, shape, seed):
    features, maps = inputs(shape, device=device, seed=seed)
    order = torch.randperm(shape[3], generator=torch.Generator().manual_seed(seed)).to(device)
    pooled = K.aligned_pooling(features, maps, groups=shape[-1], impl=impl)
    shuffled = K.aligned_pooling(features[:, :, order], maps[:, :, order], groups=shape[-1], impl=impl)
    torch.testing.assert_close(shuffled, pooled)


@properties
@given(shape=shapes, seed=st.integers(0, 2**31))
def test_pooling_is_an_average(impl, device, shape, seed):
    features, maps = inputs(shape, device=device, seed=seed)
    pooled = K.aligned_pooling(features, maps, groups=shape[-1], impl=impl)
    assert (pooled <= features.amax((2, 3))[:, None] + 1e-5).all()
    assert (pooled >= features.amin((2, 3))[:, None] - 1e-5).all()
    shifted = K.aligned_pooling(features + 2, maps, groups=shape[-1], impl=impl)
    torch.testing.assert_close(shifted, pooled + 2)
