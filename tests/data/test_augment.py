"""Augmentations: pixel for pixel torchvision's, given the same draws."""

import dataclasses

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as F

from sslfast.config import ViewConfig
from sslfast.data import augment
from sslfast.data.draws import BRIGHTNESS, CONTRAST, HUE, SATURATION, blur_window, draw_view

B = 48
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IDENTITY = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def noise(height, width):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (B, 3, height, width), generator=generator, dtype=torch.uint8)


def smooth(side):
    """Images over the whole range, among them saturated, gray and black pixels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(B, 3, 4, 4, generator=generator)
    images = F.resize(coarse, [side, side]).mul(1.4).sub(0.2).clamp(0, 1)
    images[0] = 0
    images[1] = 1
    images[2] = images[2, :1]
    return images


def column(values):
    return torch.as_tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


@pytest.mark.parametrize(("height", "width", "size"), [(32, 32, 32), (96, 70, 64), (20, 33, 48), (50, 200, 24)])
def test_crop_resize_is_torchvisions(height, width, size):
    images = noise(height, width)
    draws = draw_view(ViewConfig(scale=(0.05, 1.0)), 0, 0, np.arange(B), 0, height, width)
    views = augment.crop_resize(images, draws.boxes, size, draws.flip)
    for view, image, box, flip in zip(views, images, draws.boxes.tolist(), draws.flip, strict=True):
        exact = F.resized_crop(image.float(), *box, [size, size], antialias=True)
        rounded = F.resized_crop(image, *box, [size, size], antialias=True).float()
        if flip:
            exact, rounded = F.horizontal_flip(exact), F.horizontal_flip(rounded)
        torch.testing.assert_close(view, exact, rtol=0, atol=2e-3)
        torch.testing.assert_close(view, rounded, rtol=0, atol=1.001)  # of 255 levels


def test_crop_resize_takes_any_strides():
    images = noise(32, 40)
    draws = draw_view(ViewConfig(), 0, 0, np.arange(B), 0, 32, 40)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    expected = augment.crop_resize(images, draws.boxes, 32, draws.flip)
    assert torch.equal(augment.crop_resize(channels_last, draws.boxes, 32, draws.flip), expected)


@pytest.mark.parametrize(
    ("operation", "reference", "low", "high"),
    [
        (augment.adjust_brightness, F.adjust_brightness, 0.0, 2.5),
        (augment.adjust_contrast, F.adjust_contrast, 0.0, 2.5),
        (augment.adjust_saturation, F.adjust_saturation, 0.0, 2.5),
        (augment.adjust_hue, F.adjust_hue, -0.5, 0.5),
    ],
)
def test_colour_operations_are_torchvisions(operation, reference, low, high):
    images, factors = smooth(16), np.linspace(low, high, B, dtype=np.float32)
    before = images.clone()
    result = operation(images, column(factors))
    expected = torch.stack([reference(i, float(f)) for i, f in zip(images, factors, strict=True)])
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)
    assert torch.equal(images, before)


@pytest.mark.parametrize("side", [8, 32, 97])
def test_gaussian_blur_is_torchvisions(side):
    images, sigma = smooth(side), np.linspace(0.1, 5.0, B, dtype=np.float32)
    window = blur_window(side)
    expected = torch.stack([F.gaussian_blur(i, window, float(s)) for i, s in zip(images, sigma, strict=True)])
    torch.testing.assert_close(augment.gaussian_blur(images, column(sigma)), expected, rtol=0, atol=1e-5)


def finished_by_torchvision(image, draws, i):
    jitter = {
        BRIGHTNESS: lambda x: F.adjust_brightness(x, float(draws.brightness[i])),
        CONTRAST: lambda x: F.adjust_contrast(x, float(draws.contrast[i])),
        SATURATION: lambda x: F.adjust_saturation(x, float(draws.saturation[i])),
        HUE: lambda x: F.adjust_hue(x, float(draws.hue[i])),
    }
    for operation in draws.order[i] if draws.jitter[i] else []:
        image = jitter[operation](image)
    if draws.grayscale[i]:
        image = F.rgb_to_grayscale(image, 3)
    if draws.blur_sigma[i] > 0:
        image = F.gaussian_blur(image, blur_window(image.shape[-1]), float(draws.blur_sigma[i]))
    return F.normalize(image, MEAN, STD)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_finish_applies_each_samples_own_draws_in_its_own_order(dtype):
    crops = (smooth(32) * 255).to(dtype)
    view = ViewConfig(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale=0.3, blur=0.5)
    draws = draw_view(view, 0, 0, np.arange(B), 0, 32, 32)
    assert len(np.unique(draws.order, axis=0)) > 12
    before = crops.clone()
    result = augment.finish(crops, draws, MEAN, STD)
    expected = torch.stack([finished_by_torchvision(c.float() / 255, draws, i) for i, c in enumerate(crops)])
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5 / min(STD))
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(crops, before)


def test_finish_without_augmentation_normalises():
    crops = noise(8, 8)
    draws = draw_view(ViewConfig(jitter=0, grayscale=0, blur=0), 0, 0, np.arange(B), 0, 8, 8)
    expected = F.normalize(crops / 255, MEAN, STD)
    for result in (augment.finish(crops, draws, MEAN, STD), augment.normalize(crops, MEAN, STD)):
        torch.testing.assert_close(result, expected)
        assert result.is_contiguous(memory_format=torch.channels_last)


def test_a_sample_does_not_depend_on_its_batch():
    crops = smooth(16) * 255
    draws = draw_view(ViewConfig(blur=0.5), 0, 0, np.arange(B), 0, 16, 16)
    few = np.array([5, 40, 17])
    some = dataclasses.replace(draws, **{f.name: getattr(draws, f.name)[few] for f in dataclasses.fields(draws)})
    together, apart = augment.finish(crops, draws, *IDENTITY), augment.finish(crops[few], some, *IDENTITY)
    torch.testing.assert_close(apart, together[few], rtol=0, atol=1e-6)


@pytest.mark.gpu
def test_gpu_equals_cpu_and_is_never_waited_for():
    images = noise(32, 40)
    draws = draw_view(ViewConfig(blur=0.5), 0, 0, np.arange(B), 0, 32, 40)
    expected = augment.finish(augment.crop_resize(images, draws.boxes, 32, draws.flip), draws, MEAN, STD)
    on_gpu = images.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = augment.finish(augment.crop_resize(on_gpu, draws.boxes, 32, draws.flip), draws, MEAN, STD)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=1e-4)
