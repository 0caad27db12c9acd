"""Views of decoded images and of crops are torchvision's transforms, given the draws.

See tests/kernels too.
"""

import dataclasses

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from sslfast.config import ViewConfig
from sslfast.data.augment import augment, finish
from sslfast.data.draws.reference import sample_view
from tests.kernels.views import MEAN, STD, by_torchvision, some_images

B = 48
STRONG = ViewConfig(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale=0.3, blur=0.5, solarize=0.3)


def crops(size=32):
    """Makes uint8 (B, 3, S, S), channels_last, as DALI's are."""
    return some_images(B, size, size).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", [32, 70])
def test_finish_applies_each_samples_own_draws(size):
    """Within a level, as a pixel beside the threshold of solarization may fall to either side of it."""
    draws = sample_view(STRONG, 0, 0, np.arange(B), 0, 400, 400)
    assert len(np.unique(draws.order, axis=0)) > 12
    images = crops(size)
    before = images.clone()
    result = finish(images, draws, MEAN, STD)
    pairs = zip(images.permute(0, 2, 3, 1), torch.from_numpy(draws.table()), strict=True)
    expected = F.normalize(torch.stack([by_torchvision(*pair, size, crop=False) for pair in pairs]), MEAN, STD)
    torch.testing.assert_close(result, expected, rtol=0, atol=1.01 / 255 / min(STD))
    assert (result - expected).abs().median() < 1e-5
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_finish_takes_any_strides():
    draws = sample_view(STRONG, 0, 0, np.arange(B), 0, 32, 32)
    expected = finish(crops(), draws, MEAN, STD)
    assert torch.equal(finish(crops().contiguous(), draws, MEAN, STD), expected)


def test_finish_without_augmentation_normalizes():
    images = crops(8)
    draws = sample_view(ViewConfig(jitter=0, grayscale=0, blur=0), 0, 0, np.arange(B), 0, 8, 8)
    result = finish(images, draws, MEAN, STD)
    torch.testing.assert_close(result, F.normalize(images / 255, MEAN, STD), rtol=1e-5, atol=1e-5)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_augment_crops_before_it_finishes():
    """Of an image as large as the view, the whole of it, both do the same."""
    whole = ViewConfig(**{**dataclasses.asdict(STRONG), "scale": (1, 1), "ratio": (1, 1), "flip": 0})
    draws = sample_view(whole, 0, 0, np.arange(B), 0, 32, 32)
    images = some_images(B, 32, 32)
    result = augment(images, draws, 32, MEAN, STD)
    torch.testing.assert_close(result, finish(crops(), draws, MEAN, STD), rtol=0, atol=1.01 / 255 / min(STD))
    assert torch.equal(augment(list(images), draws, 32, MEAN, STD), result)


@pytest.mark.gpu
def test_a_gpu_equals_the_cpu_and_is_never_waited_for():
    draws = sample_view(ViewConfig(blur=0.5), 0, 0, np.arange(B), 0, 32, 32)
    expected = finish(crops(), draws, MEAN, STD)
    on_gpu = crops().cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = finish(on_gpu, draws, MEAN, STD)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=1e-4)
