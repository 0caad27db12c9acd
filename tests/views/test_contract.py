"""What every operation promises: pure sample by sample, batched, channels_last, nothing changed, no waiting."""

import pytest
import torch

from sslfast import views
from sslfast.views import Key

B, SIDE = 6, 48


def colored(images):
    return views.to_rgb(images, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


OPERATIONS = {
    "divide": lambda x, key: views.divide(x),
    "divide with overlap": lambda x, key: views.divide(x, parts=3, overlap=6),
    "patch_grid": lambda x, key: views.patch_grid(x),
    "shift_patches": lambda x, key: views.shift_patches(views.patch_grid(x), key),
    "flip_patches": lambda x, key: views.flip_patches(views.patch_grid(x), key),
    "jigsaw_cells": lambda x, key: views.jigsaw_cells(x, key),
    "normalize_patches": lambda x, key: views.normalize_patches(views.divide(x)),
    "random_order": lambda x, key: views.permuted(views.divide(x), views.random_order(key, 4)),
    "montage": lambda x, key: views.montage(views.divide(x)),
    "context_pair": lambda x, key: views.context_pair(x, key, patch=10)[0],
    "rotations": lambda x, key: views.rotations(x),
    "drop_colors": lambda x, key: views.drop_colors(views.divide(x), key, probability=0.7),
    "project_colors": lambda x, key: views.project_colors(x, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
    "surrogate": lambda x, key: views.surrogate(colored(x), key),
    "split_lab": lambda x, key: torch.cat(views.split_lab(colored(x)), dim=1),
    "split_ydbdr": lambda x, key: torch.cat(views.split_ydbdr(colored(x)), dim=1),
}
RANDOM = (
    "shift_patches",
    "flip_patches",
    "jigsaw_cells",
    "random_order",
    "context_pair",
    "drop_colors",
    "surrogate",
)


@pytest.fixture(params=OPERATIONS)
def operation(request):
    return OPERATIONS[request.param]


def batch():
    images = torch.randn(B, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=torch.channels_last)


INDEX = torch.tensor([7, 0, 2**32 - 1, 12, 5, 3])


def test_a_sample_does_not_depend_on_its_batch(operation):
    images = batch()
    together = operation(images, Key(1, 2, INDEX))
    few = torch.tensor([4, 2])
    torch.testing.assert_close(operation(images[few], Key(1, 2, INDEX[few])), together[few])


def test_the_input_stays_and_its_strides_do_not_matter(operation):
    images = batch()
    before = images.clone()
    expected = operation(images, Key(1, 2, INDEX))
    assert torch.equal(images, before)
    torch.testing.assert_close(operation(images.contiguous(), Key(1, 2, INDEX)), expected)


def test_patches_are_channels_last(operation):
    result = operation(batch(), Key(1, 2, INDEX))
    if result.ndim == 5:
        patches = result.flatten(0, 1)
        assert patches.data_ptr() == result.data_ptr()
        assert patches.is_contiguous(memory_format=torch.channels_last)


def test_views_in_bf16_under_autocast_lose_nothing_but_by_rounding(operation):
    """Places and statistics are computed in fp32: half of bf16's 2^-7 in the result, relatively."""
    images, key = batch().bfloat16(), Key(1, 2, INDEX)
    exact = operation(images.float(), key)
    with torch.autocast("cpu", torch.bfloat16):
        result = operation(images, key)
    assert result.dtype in (torch.bfloat16, torch.float32)
    torch.testing.assert_close(result.float(), exact, rtol=2**-8, atol=5e-4)


@pytest.mark.parametrize("name", RANDOM)
def test_seed_epoch_index_and_view_each_change_the_draws(name):
    images = batch()
    keys = [
        Key(1, 2, INDEX),
        Key(9, 2, INDEX),
        Key(1, 3, INDEX),
        Key(1, 2, INDEX + 1 - 2 * (INDEX == 2**32 - 1)),
        Key(1, 2, INDEX, view=1),
    ]
    first, *others = (OPERATIONS[name](images, key) for key in keys)
    assert all(not torch.equal(first, other) for other in others)
    assert torch.equal(first, OPERATIONS[name](images, Key(1, torch.tensor(2), INDEX)))


@pytest.mark.gpu
def test_gpu_equals_cpu_and_is_never_waited_for(operation):
    images = batch()
    expected = operation(images, Key(1, 2, INDEX))
    on_gpu, index = images.cuda(), INDEX.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = operation(on_gpu, Key(1, 2, index))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), expected, rtol=1e-4, atol=1e-4)
