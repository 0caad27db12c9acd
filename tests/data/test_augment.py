"""What is done to a batch on its device: torchvision's transforms, given the draws. See tests/kernels too."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms.v2 import functional as F

from sslfast.benchmarks.views.pipelines import transform
from sslfast.config import DataConfig, ViewConfig
from sslfast.data import Source, augment, make_loader
from sslfast.data.draws.reference import draw_view
from tests.kernels.views import MEAN, STD, by_torchvision, some_images

B = 48
STRONG = ViewConfig(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grayscale=0.3, blur=0.5, solarize=0.3)


def crops(size=32):
    """uint8 (B, 3, S, S), channels_last, as DALI's are."""
    return some_images(B, size, size).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", [32, 70])
def test_finish_applies_each_samples_own_draws(size):
    """Within a level, as a pixel beside the threshold of solarisation may fall to either side of it."""
    draws = draw_view(STRONG, 0, 0, np.arange(B), 0, 400, 400)
    assert len(np.unique(draws.order, axis=0)) > 12
    images = crops(size)
    before = images.clone()
    result = augment.finish(images, draws, MEAN, STD)
    pairs = zip(images.permute(0, 2, 3, 1), torch.from_numpy(draws.table()), strict=True)
    expected = F.normalize(torch.stack([by_torchvision(*pair, size, crop=False) for pair in pairs]), MEAN, STD)
    torch.testing.assert_close(result, expected, rtol=0, atol=1.01 / 255 / min(STD))
    assert (result - expected).abs().median() < 1e-5
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_finish_takes_any_strides():
    draws = draw_view(STRONG, 0, 0, np.arange(B), 0, 32, 32)
    expected = augment.finish(crops(), draws, MEAN, STD)
    assert torch.equal(augment.finish(crops().contiguous(), draws, MEAN, STD), expected)


def test_finish_without_augmentation_normalises():
    images = crops(8)
    draws = draw_view(ViewConfig(jitter=0, grayscale=0, blur=0), 0, 0, np.arange(B), 0, 8, 8)
    expected = F.normalize(images / 255, MEAN, STD)
    for result in (augment.finish(images, draws, MEAN, STD), augment.normalize(images, MEAN, STD)):
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
        assert result.is_contiguous(memory_format=torch.channels_last)


def test_views_are_distributed_as_torchvisions():
    """All of a pipeline, draws and pixels, beside all of torchvision's, by what tells its operations apart."""
    n, view = 1500, ViewConfig(scale=(0.08, 1.0), grayscale=0.2, blur=0.5)
    noise = np.random.default_rng(0).integers(0, 60, (40, 48, 3))
    right, down = np.linspace(0, 190, 48)[None, :], np.linspace(0, 190, 40)[:, None]
    image = (noise + np.stack(np.broadcast_arrays(right, down, 60), 2)).astype(np.uint8)  # red right, green down
    data = DataConfig(size=24, batch_size=n, views=[view])
    source = Source("one image", images=np.repeat(image[None], n, axis=0))
    ours = next(make_loader(source, data, 0, torch.device("cpu")).epoch(0)).views[0]
    torch.manual_seed(0)
    torchvisions = transform(view, 24, data)
    theirs = torch.stack([torchvisions(torch.from_numpy(image).permute(2, 0, 1)) for _ in range(n)])
    for name, measure in TRAITS.items():
        assert ks_2samp(measure(ours).numpy(), measure(theirs).numpy()).pvalue > 1e-3, name


TRAITS = {
    "red": lambda x: x[:, 0].mean((1, 2)),
    "green": lambda x: x[:, 1].mean((1, 2)),
    "blue": lambda x: x[:, 2].mean((1, 2)),
    "contrast": lambda x: x.std((1, 2, 3)),
    "colour": lambda x: x.std(1).mean((1, 2)),
    "left to right": lambda x: (x[..., :12] - x[..., 12:]).mean((1, 2, 3)),
    "top to bottom": lambda x: (x[..., :12, :] - x[..., 12:, :]).mean((1, 2, 3)),
    "blur": lambda x: x.diff(dim=2).abs().mean((1, 2, 3)) / x.std((1, 2, 3)),
}


@pytest.mark.gpu
def test_a_gpu_equals_the_cpu_and_is_never_waited_for():
    draws = draw_view(ViewConfig(blur=0.5), 0, 0, np.arange(B), 0, 32, 32)
    expected = augment.finish(crops(), draws, MEAN, STD)
    on_gpu = crops().cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = augment.finish(on_gpu, draws, MEAN, STD)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.cpu(), expected, rtol=0, atol=1e-4)
