"""view_augment of images of other channels than three, and of 16 bits."""

import pytest
import torch

from sslfast import kernels as K
from sslfast.kernels.view_augment import Draw
from tests.kernels import interpreter
from tests.kernels.views import some_draws, some_images

pytestmark = interpreter.QUIET
GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
IMAGES, DRAWS = some_images(6, 20, 26).to(DEVICE), some_draws(6, 20, 26).to(DEVICE)
BANDS = torch.cat([IMAGES, IMAGES.flip(0)[..., :2]], dim=-1)  # five channels
MEAN, STD = (0.1, 0.2, 0.3, 0.4, 0.5), (0.5, 0.4, 0.3, 0.2, 0.1)


@pytest.fixture(params=["reference", "triton", *([] if GPU else ["cpp"])])
def impl(request):
    return request.param


def gray(images):
    return images[..., :1].expand(*images.shape[:-1], 3).contiguous()


@pytest.mark.parametrize("crop", [True, False])
def test_a_gray_view_is_a_channel_of_the_view_in_rgb(impl, crop):
    images = IMAGES if crop else some_images(6, 12, 12).to(DEVICE)
    settings = {"size": 12, "crop": crop, "impl": impl}
    one = K.view_augment(images[..., :1], DRAWS, mean=(0.4,), std=(0.2,), **settings)
    rgb = K.view_augment(gray(images), DRAWS, mean=(0.4,) * 3, std=(0.2,) * 3, **settings)
    assert one.shape == (6, 1, 12, 12)
    if impl == "reference":  # products of matrices may round differently
        torch.testing.assert_close(one, rgb[:, :1], rtol=0, atol=1e-5)
    else:
        assert torch.equal(one, rgb[:, :1])
    assert one.std() > 0


def test_each_channel_is_a_gray_view_of_the_same_draws(impl):
    views = K.view_augment(BANDS, DRAWS, size=12, mean=MEAN, std=STD, impl=impl)
    assert views.shape == (6, 5, 12, 12)
    assert views.is_contiguous(memory_format=torch.channels_last)
    for c in range(5):
        one = K.view_augment(
            BANDS[..., c : c + 1], DRAWS, size=12, mean=MEAN[c : c + 1], std=STD[c : c + 1], impl=impl
        )
        assert torch.equal(views[:, c : c + 1], one)


def test_rows_pick_images_of_channels(impl):
    rows = torch.tensor([5, 0, 3], device=DEVICE)
    arguments = {"size": 12, "mean": MEAN, "std": STD, "impl": impl}
    picked = K.view_augment(BANDS, DRAWS[:3], rows=rows, **arguments)
    assert torch.equal(picked, K.view_augment(BANDS[rows], DRAWS[:3], **arguments))


def test_of_channels_no_row_leads_outside(impl):
    rows = torch.tensor([5, 6, 3], device=DEVICE)
    arguments = {"rows": rows, "size": 12, "mean": MEAN, "std": STD, "impl": impl}
    if not GPU:
        with pytest.raises(RuntimeError, match=r"expected rows in \[0, 6\), got 6 for sample 1"):
            K.view_augment(BANDS, DRAWS[:3], **arguments)
        return
    views = K.view_augment(BANDS, DRAWS[:3], **arguments)
    assert views[1].isnan().all()
    assert not views[[0, 2]].isnan().any()


@pytest.mark.parametrize("impl", ["reference", "auto"])
def test_a_list_of_channels(impl):
    images = [BANDS[0].contiguous(), BANDS[1, :20, :26].contiguous()]
    views = K.view_augment(images, DRAWS[:2], size=12, mean=MEAN, std=STD, impl=impl)
    together = K.view_augment(BANDS[:2], DRAWS[:2], size=12, mean=MEAN, std=STD, impl="reference")
    torch.testing.assert_close(views, together, rtol=0, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_16_bits_are_levels_of_the_same_images(channels):
    images, mean, std = BANDS[..., :channels], MEAN[:channels], STD[:channels]
    rows = torch.tensor([5, 0, 3], device=DEVICE)
    arguments = {"rows": rows, "size": 12, "mean": mean, "std": std}
    deep = K.view_augment((images.int() * 257).to(torch.uint16), DRAWS[:3], **arguments)
    shallow = K.view_augment(images, DRAWS[:3], impl="reference", **arguments)
    torch.testing.assert_close(deep, shallow, rtol=0, atol=2e-4)


def test_16_bits_keep_their_levels():
    ramp = (torch.arange(4096, device=DEVICE) * 16).to(torch.uint16).view(1, 64, 64, 1)
    draws = DRAWS[:1].clone().zero_()
    draws[:, Draw.HEIGHT] = draws[:, Draw.WIDTH] = 64
    views = K.view_augment(ramp, draws, size=64, mean=(0,), std=(1,))
    assert len(views.unique()) == 4096
    many = K.view_augment([ramp[0]], draws, size=64, mean=(0,), std=(1,))
    torch.testing.assert_close(many, views, rtol=0, atol=1e-6)


@pytest.mark.parametrize("impl", ["cpp", "triton"])
def test_no_kernel_takes_16_bits(impl):
    images = BANDS.to(torch.uint16)
    with pytest.raises(RuntimeError, match=rf"impl='{impl}' .*: it has no kernel for images of torch.uint16; use"):
        K.view_augment(images, DRAWS, size=12, mean=MEAN, std=STD, impl=impl)
    with pytest.raises(ValueError, match="no such implementation|expected impl"):
        K.view_augment(images, DRAWS, size=12, mean=MEAN, std=STD, impl="none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES}, r"expected images of shape \(B, H, W, 5\), uint8 or uint16, got \(6, 20, 26, 3\)"),
        ({"images": [BANDS[0], IMAGES[1]]}, r"expected images\[1\] of shape \(H, W, 5\), uint8 or uint16, got"),
        ({"mean": MEAN[:4]}, r"expected a mean of 5 numbers, got \(0.1, 0.2, 0.3, 0.4\)"),
        ({"std": ()}, r"expected a std of 5 numbers > 0, got \(\)"),
        ({"images": BANDS.to(torch.int16)}, r"uint8 or uint16, got \(6, 20, 26, 5\), torch.int16"),
    ],
)
def test_channels_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        K.view_augment(**{"images": BANDS, "draws": DRAWS, "size": 8, "mean": MEAN, "std": STD} | change)
