"""view_augment of images of sizes of their own: each view is that of its image alone."""

import pytest
import torch

from sslfast import kernels as K
from sslfast.kernels.view_augment import Draw
from tests.kernels.views import MEAN, STD, no_draws, some_draws, some_images

SIDES = [(40, 30), (1, 50), (33, 33), (7, 90), (40, 30), (64, 2)]
FINISH = {"size": 16, "mean": MEAN, "std": STD}


@pytest.fixture(params=["reference", "cpp"])
def impl(request):
    return request.param


def some_list(sides=SIDES):
    """Makes images, and a draw of each."""
    images = [some_images(1, *side, seed=i)[0] for i, side in enumerate(sides)]
    return images, torch.cat([some_draws(1, *side, seed=i) for i, side in enumerate(sides)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_view_is_that_of_its_image(impl, dtype):
    images, draws = some_list()
    views = K.view_augment(images, draws, dtype=dtype, impl=impl, **FINISH)
    assert views.dtype == dtype
    assert views.is_contiguous(memory_format=torch.channels_last)
    for image, draw, view in zip(images, draws, views, strict=True):
        assert torch.equal(view, K.view_augment(image[None], draw[None], dtype=dtype, impl=impl, **FINISH)[0])
    assert not torch.equal(views[0], views[4])  # of the same size


def test_auto_takes_the_compiled_kernel():
    images, draws = some_list()
    expected = K.view_augment(images, draws, impl="cpp", **FINISH)
    assert torch.equal(K.view_augment(images, draws, **FINISH), expected)


def test_images_may_be_strided(impl):
    images, draws = some_list()
    strided = [image.permute(2, 0, 1).contiguous().permute(1, 2, 0) for image in images]
    views, expected = (K.view_augment(i, draws, impl=impl, **FINISH) for i in (strided, images))
    torch.testing.assert_close(views, expected, atol=1e-5, rtol=0)


def test_no_images(impl):
    assert K.view_augment([], torch.zeros(0, len(Draw)), impl=impl, **FINISH).shape == (0, 3, 16, 16)


def test_opcheck():
    images, draws = some_list()
    op = torch.ops.sslfast.view_augment_list.cpp
    torch.library.opcheck(op, (images, draws, 16, list(MEAN), list(STD), torch.float32))


def test_a_box_outside_its_own_image():
    images, draws = some_list()
    draws[1] = no_draws(1, 2, 50)[0]  # inside the others
    with pytest.raises(RuntimeError, match="expected boxes inside images of 1x50, got .* for sample 1"):
        K.view_augment(images, draws, impl="cpp", **FINISH)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rows": torch.zeros(6, dtype=torch.int64)}, ValueError, "a list of images without rows; pass one"),
        ({"crop": False}, ValueError, "a list of images without crop=False; pass one tensor"),
        ({"size": 1}, ValueError, "a size >= 2, got 1"),
        (
            {"images": [torch.zeros(4, 4, 3)] * 6},
            ValueError,
            r"images\[0\] of shape .*, uint8 or uint16, got \(4, 4, 3\)",
        ),
        ({"images": [torch.zeros(4, 3).byte()] * 6}, ValueError, r"images\[0\] of shape .*, got \(4, 3\)"),
        ({"images": [None] * 6}, TypeError, r"images\[0\] to be a torch.Tensor, got NoneType"),
        ({"images": None}, TypeError, "images to be a torch.Tensor, got NoneType"),
        ({"draws": None}, TypeError, "draws to be a torch.Tensor, got NoneType"),
        ({"draws": torch.zeros(5, len(Draw))}, ValueError, r"draws of shape \(6, 14\)"),
        ({"impl": "triton"}, RuntimeError, "no such implementation"),
    ],
)  # fmt: skip
def test_bad_arguments(change, error, message):
    images, draws = some_list()
    with pytest.raises(error, match=message):
        K.view_augment(**{"images": images, "draws": draws, **FINISH, **change})
