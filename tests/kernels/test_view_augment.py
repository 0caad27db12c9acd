"""view_augment: every implementation pixel for pixel torchvision's, given the same draws."""

import inspect
from itertools import permutations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as F

from sslfast import kernels as K
from sslfast.kernels.view_augment import BRIGHTNESS, CONTRAST, HUE, SATURATION, Draw, blur_window
from tests.kernels import interpreter
from tests.kernels.views import MEAN, STD, by_torchvision, no_draws, some_draws, some_images

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
LEVELS = {"mean": (0, 0, 0), "std": (1, 1, 1)}
LEVEL = 1 / 255


@pytest.fixture(params=["reference", "cpp", "triton"])
def impl(request):
    return request.param


@pytest.fixture
def count(impl):
    """Gives the number of samples: few for Triton's interpreter."""
    return 6 if impl == "triton" and not GPU else 40


@pytest.fixture
def check(impl, device):
    """Gives check(images, draws, size, crop=True, atol=1e-4): views in [0, 1], equal to torchvision's."""

    def check(images, draws, size, crop=True, atol=1e-4):
        arguments = {"size": size, "crop": crop, "impl": impl, **LEVELS}
        views = K.view_augment(images.to(device), draws.to(device), **arguments).cpu()
        expected = torch.stack([by_torchvision(*pair, size, crop) for pair in zip(images, draws, strict=True)])
        torch.testing.assert_close(views, expected, rtol=0, atol=atol)
        return views

    return check


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(32, 32, 32), (20, 33, 48), (96, 70, 30), (50, 200, 24), (7, 5, 2), (1, 1, 9), (40, 60, 67)],
)
def test_crop_resize_and_flip(check, count, height, width, size):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, height, width, 3), generator=generator, dtype=torch.uint8)
    draws = no_draws(count, height, width)
    draws[:, : Draw.JITTER] = some_draws(count, height, width)[:, : Draw.JITTER]
    views = check(images, draws, size)
    rounded = []  # as torchvision does to uint8 images
    for image, draw in zip(images, draws, strict=True):
        box = draw[: Draw.FLIP].int().tolist()
        view = F.resized_crop(image.permute(2, 0, 1), *box, [size, size], antialias=True)
        rounded.append(F.horizontal_flip(view) if draw[Draw.FLIP] else view)
    torch.testing.assert_close(views, torch.stack(rounded) * LEVEL, rtol=0, atol=1.01 * LEVEL)


@pytest.mark.parametrize(
    ("operation", "column", "low", "high"),
    [
        (BRIGHTNESS, Draw.BRIGHTNESS, 0.0, 2.5),
        (CONTRAST, Draw.CONTRAST, 0.0, 2.5),
        (SATURATION, Draw.SATURATION, 0.0, 2.5),
        (HUE, Draw.HUE, -0.5, 0.5),
    ],
)
@pytest.mark.parametrize("place", [0, 3], ids=["first", "last"])
def test_each_color_operation(check, count, operation, column, low, high, place):
    draws = no_draws(count, 16, 16)
    draws[:, Draw.JITTER] = 1
    draws[:, column] = torch.linspace(low, high, count)
    others = [other for other in range(4) if other != operation]
    order = [*others[:place], operation, *others[place:]]
    draws[:, Draw.ORDER] = sum(digit * 4**step for step, digit in enumerate(order))
    check(some_images(count, 16, 16), draws, 16, atol=1e-5)


@pytest.mark.parametrize("size", [32, 64])
def test_contrast_of_a_plain_image_keeps_it(impl, device, size):
    """Its mean gray is each pixel's: summed in fp32, rounding would go the same way at every pixel."""
    images = (
        torch.full((6, size, size, 3), 77, dtype=torch.uint8)
        + torch.arange(6, dtype=torch.uint8)[:, None, None, None]
    )
    draws = no_draws(6, size, size)
    draws[:, Draw.JITTER], draws[:, Draw.CONTRAST] = 1, 0.0  # the mean in place of the pixel
    views = K.view_augment(images.to(device), draws.to(device), size=size, impl=impl, **LEVELS).cpu()
    luma = (0.2989 + 0.587 + 0.114) * images.double() * LEVEL
    torch.testing.assert_close(views.double(), luma.permute(0, 3, 1, 2), rtol=4e-7, atol=0)


@pytest.mark.parametrize("size", [16, 70])
def test_grayscale(check, count, size):
    count = min(count, 6)
    draws = no_draws(count, size, size)
    draws[::2, Draw.GRAYSCALE] = 1
    views = check(some_images(count, size, size), draws, size, atol=1e-5)
    assert torch.equal(views[::2, 0], views[::2, 2])


@pytest.mark.parametrize("size", [8, 32, 40, 97])
def test_gaussian_blur(check, count, size):
    count = min(count, 3) if size == 97 else count
    draws = no_draws(count, size, size)
    draws[:, Draw.SIGMA] = torch.linspace(0.1, 5, count)
    check(some_images(count, size, size), draws, size, atol=1e-5)


def test_solarize_inverts_levels_from_128_on(impl, device):
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(2, 16, 16, 3).contiguous()
    draws = no_draws(2, 16, 16)
    draws[0, Draw.SOLARIZE] = 1
    for crop in (True, False):
        views = K.view_augment(ramp.to(device), draws.to(device), size=16, crop=crop, impl=impl, **LEVELS).cpu()
        solarized, plain = views[:, 0].flatten(1) * 255
        inverted = torch.cat([torch.arange(128.0), torch.arange(127.0, -1, -1)])
        torch.testing.assert_close(plain, torch.arange(256.0), rtol=0, atol=1e-3)
        torch.testing.assert_close(solarized, inverted, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("size", "crop"), [(32, True), (32, False), (70, True), (70, False), (224, True)])
def test_the_whole_chain(impl, check, count, size, crop):
    """Within a level: a pixel beside the threshold of solarization may fall to either side of it."""
    if size == 224 and impl == "triton" and not GPU:
        pytest.skip("takes Triton's interpreter a minute")
    count = min(count, {32: 40, 70: 4, 224: 2}[size])
    height, width = (45, 38) if crop else (size, size)
    images, draws = some_images(count, height, width), some_draws(count, height, width)
    check(images, draws, size, crop)
    draws[::2, Draw.SOLARIZE] = 1
    check(images, draws, size, crop, atol=LEVEL + 1e-4)


def test_all_orders(impl, device):
    """An image for each of the 24, with factors so far from 1 that another order would show."""
    orders = list(permutations(range(4)))
    images = some_images(len(orders), 16, 16)
    draws = no_draws(len(orders), 16, 16)
    draws[:, Draw.JITTER] = 1
    draws[:, Draw.BRIGHTNESS : Draw.ORDER] = torch.tensor([1.7, 0.4, 1.8, 0.3])
    draws[:, Draw.ORDER] = torch.tensor([sum(d * 4**i for i, d in enumerate(order)) for order in orders])
    views = K.view_augment(images.to(device), draws.to(device), size=16, impl=impl, **LEVELS).cpu()
    expected = torch.stack([by_torchvision(*pair, 16) for pair in zip(images, draws, strict=True)])
    torch.testing.assert_close(views, expected, rtol=0, atol=1e-4)


def test_a_sample_does_not_depend_on_its_batch(impl, device, count):
    images, draws = some_images(count, 24, 30).to(device), some_draws(count, 24, 30).to(device)
    together = K.view_augment(images, draws, size=16, mean=MEAN, std=STD, impl=impl)
    few = torch.tensor([5, 0, 3], device=device)
    apart = K.view_augment(images[few], draws[few], size=16, mean=MEAN, std=STD, impl=impl)
    if impl == "reference":  # products of matrices may round differently
        torch.testing.assert_close(apart, together[few])
    else:
        assert torch.equal(apart, together[few])


def test_rows_pick_the_images(impl, device):
    images, draws = some_images(6, 24, 30).to(device), some_draws(4, 24, 30).to(device)
    rows = torch.tensor([5, 0, 5, 2], device=device)
    arguments = {"size": 16, "mean": MEAN, "std": STD, "impl": impl}
    expected = K.view_augment(images[rows], draws, **arguments)
    assert torch.equal(K.view_augment(images, draws, rows=rows, **arguments), expected)
    strided = torch.stack([rows, rows], 1)[:, 0]
    wide = torch.cat([draws, draws], 1)[:, : len(Draw)]
    assert torch.equal(K.view_augment(images, wide, rows=strided, **arguments), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_results_of_any_dtype(impl, device, dtype):
    images, draws = some_images(4, 24, 30).to(device), some_draws(4, 24, 30).to(device)
    arguments = {"size": 16, "mean": MEAN, "std": STD}
    view = K.view_augment(images, draws, dtype=dtype, impl=impl, **arguments)
    exact = K.view_augment(images, draws.double(), dtype=torch.float64, impl="reference", **arguments)
    assert view.dtype == dtype
    assert view.is_contiguous(memory_format=torch.channels_last)
    truncates = impl == "triton" and dtype == torch.bfloat16 and not GPU  # what the interpreter does to bf16
    tolerance = torch.finfo(dtype).eps * (1 if truncates else 0.5) + 2e-5
    torch.testing.assert_close(view.double(), exact, rtol=tolerance, atol=tolerance)


def test_no_samples(impl, device):
    images, draws = some_images(4, 8, 8)[:0].to(device), no_draws(0, 8, 8).to(device)
    view = K.view_augment(images, draws, size=4, mean=MEAN, std=STD, impl=impl)
    assert view.shape == (0, 3, 4, 4)


@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(2, 40), seed=st.integers(0, 2**20))
@settings(max_examples=60)
def test_any_size_on_the_cpu(height, width, size, seed):
    images, draws = some_images(3, height, width, seed), some_draws(3, height, width, seed)
    cpp, reference = (
        K.view_augment(images, draws, size=size, impl=impl, **LEVELS) for impl in ("cpp", "reference")
    )
    torch.testing.assert_close(cpp, reference, rtol=0, atol=2e-5)


@given(width=st.integers(1, 20), size=st.integers(2, 20), seed=st.integers(0, 2**20))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_constant_images_stay_constant(impl, device, width, size, seed):
    """But for their color: weights sum to 1 wherever a crop or a border cuts them off."""
    images = torch.full((2, 13, width, 3), 90, dtype=torch.uint8, device=device)
    draws = some_draws(2, 13, width, seed).to(device)
    draws[:, Draw.JITTER] = 0
    view = K.view_augment(images, draws, size=size, impl=impl, **LEVELS)
    torch.testing.assert_close(view, torch.full_like(view, 90 * LEVEL), rtol=0, atol=2e-4)  # grays: x 0.9999


IMAGES, DRAWS = some_images(4, 10, 12), no_draws(4, 10, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": IMAGES.permute(0, 3, 1, 2)},
            "expected images of shape (B, H, W, 3), uint8 or uint16, got (4, 3, 10, 12), torch.uint8",
        ),
        (
            {"images": IMAGES.float()},
            "expected images of shape (B, H, W, 3), uint8 or uint16, got (4, 10, 12, 3), torch.float32",
        ),
        (
            {"images": IMAGES[:, :0]},
            "expected images of shape (B, H, W, 3), uint8 or uint16, got (4, 0, 12, 3), torch.uint8",
        ),
        ({"size": 1}, "expected a size >= 2, got 1"),
        (
            {"crop": False},
            "expected images of shape (B, 8, 8, 3) to finish without a crop, got (4, 10, 12, 3)",
        ),
        ({"draws": DRAWS[:3]}, "expected draws of shape (4, 14), torch.float32, got (3, 14), torch.float32"),
        ({"draws": DRAWS.int()}, "expected draws of shape (4, 14), torch.float32, got (4, 14), torch.int32"),
        ({"draws": DRAWS.to("meta")}, "expected draws on cpu to match images, got meta"),
        ({"rows": torch.zeros(4)}, "expected rows of shape (B,), torch.int64, got (4,), torch.float32"),
        (
            {"rows": torch.zeros(3, dtype=torch.int64)},
            "expected draws of shape (3, 14), torch.float32, got (4, 14), torch.float32",
        ),
        ({"mean": (0.5,)}, "expected a mean of 3 numbers, got (0.5,)"),
        ({"std": (1, 0, 1)}, "expected a std of 3 numbers > 0, got (1, 0, 1)"),
        (
            {"dtype": torch.int8},
            "expected dtype to be one of (torch.float32, torch.float16, torch.bfloat16, torch.float64), "
            "got torch.int8",
        ),
    ],
)
def test_errors_say_what_came(change, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared whole)
        K.view_augment(**{"images": IMAGES, "draws": DRAWS, "size": 8, "mean": MEAN, "std": STD} | change)
    assert str(error.value) == f"view_augment: {message}"


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (Draw.TOP, 1, "boxes inside images of 10x12, got top 1, left 0, height 10, width 12 for sample 2"),
        (Draw.LEFT, -1, "boxes inside images of 10x12, got top 0, left -1, height 10, width 12 for sample 2"),
        (Draw.WIDTH, 0, "boxes inside images of 10x12, got top 0, left 0, height 10, width 0 for sample 2"),
    ],
)
def test_on_the_cpu_no_box_leads_out_of_its_image(column, value, message):
    draws = DRAWS.clone()
    draws[2, column] = value
    with pytest.raises(RuntimeError, match=f"view_augment: expected {message}"):
        K.view_augment(IMAGES, draws, size=8, mean=MEAN, std=STD, impl="cpp")
    K.view_augment(IMAGES[:, :8, :8], draws, size=8, mean=MEAN, std=STD, crop=False, impl="cpp")  # not looked at


def test_on_the_cpu_no_row_leads_out_of_the_set():
    rows = torch.tensor([0, 3, 4, 0])
    with pytest.raises(RuntimeError, match=r"view_augment: expected rows in \[0, 4\), got 4"):
        K.view_augment(IMAGES, DRAWS, rows=rows, size=8, mean=MEAN, std=STD, impl="cpp")


@pytest.mark.parametrize("size", [24, 70], ids=["one launch", "three launches"])
def test_triton_reads_no_row_and_no_box_outside(size):
    """The host does not look at what is on the GPU: such a view is NaN, and the others are what they are."""
    images, draws = some_images(3, 40, 50), some_draws(9, 40, 50)
    draws[:, Draw.JITTER] = draws[:, Draw.SIGMA] = 1
    rows = torch.tensor([2, -1, 3, 0, 0, 0, 0, 0, 1])
    for sample, (column, value) in enumerate(
        [(Draw.TOP, -1), (Draw.LEFT, 50), (Draw.HEIGHT, 41), (Draw.WIDTH, 0), (Draw.TOP, float("nan"))], start=3
    ):
        draws[sample, column] = value
    arguments = {"size": size, "mean": MEAN, "std": STD, "impl": "triton"}
    device = "cuda" if GPU else "cpu"
    images, draws, rows = images.to(device), draws.to(device), rows.to(device)
    views = K.view_augment(images, draws, rows=rows, **arguments)
    assert views[1:8].isnan().all()
    good = [0, 8]
    assert torch.equal(views[good], K.view_augment(images[rows[good]], draws[good], **arguments))


def test_auto_takes_the_compiled_kernel(record_impls):
    called = record_impls("view_augment")
    device = "cuda" if GPU else "cpu"
    K.view_augment(IMAGES.to(device), DRAWS.to(device), size=8, mean=MEAN, std=STD)
    assert called == ["triton" if GPU else "cpp"]


@pytest.mark.parametrize(("size", "window"), [(224, 23), (128, 13), (96, 9), (40, 5), (39, 3), (32, 3), (2, 3)])
def test_the_blur_window_is_an_odd_tenth(size, window):
    assert blur_window(size) == window


def test_offsets_of_samples_are_int64():
    """A data set, and a batch of views, may have more than 2^31 numbers; an image has fewer."""
    triton_kernels = pytest.importorskip("sslfast.kernels.view_augment.triton_kernels")
    from sslfast.kernels.view_augment import triton_pixels

    source = inspect.getsource(triton_kernels) + inspect.getsource(triton_pixels)
    assert source.count("i_b, i_r = tl.program_id(0).to(tl.int64), tl.program_id(1)") == 3
    assert "p_rows,  # [B] int64" in source
    assert "image * H * W * 3" in source
    assert "i_b * 3 * S * S" in source
    assert "3 * (i_b * S + o_y) * S" in source
