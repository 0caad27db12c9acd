"""The batches of an evaluation: resized and cropped, each image once, in order."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from sslfast.config import DataConfig
from sslfast.data import Source, eval_batches, evaluation, open_source
from tests.kernels.views import MEAN, STD, some_images

CPU = torch.device("cpu")


def config(**changes):
    return DataConfig(**{"size": 16, "batch_size": 4, **changes})


@pytest.mark.parametrize(("width", "height", "target"), [(200, 150, 37), (34, 50, 34), (20, 24, 32)])
def test_evaluation_resizes_and_crops_as_torchvision(make_folder, monkeypatch, width, height, target):
    """The shorter side goes into [32, 37]: larger images to 37, smaller ones to 32, others as they are."""
    monkeypatch.setattr(evaluation, "has_dali", lambda: False)
    source, data = open_source(str(make_folder(size=(width, height)))), config()
    ((images, index),) = eval_batches(source, 32, data, 100, CPU)
    assert index.tolist() == list(range(8))
    for i, image in enumerate(images):
        resized = F.resize(source.image(i), [target]) if target != min(width, height) else source.image(i)
        expected = F.normalize(F.to_image(F.center_crop(resized, [32, 32])) / 255, data.mean, data.std)
        torch.testing.assert_close(image, expected)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_sees_each_readable_image_once_in_order(make_folder, caplog):
    root = make_folder(per_class=300)
    (root / "cat" / "007.png").write_bytes(b"")
    batches = list(eval_batches(open_source(str(root)), 8, config(), 250, CPU))
    assert [len(index) for _, index in batches] == [250, 250, 99]
    assert torch.cat([index for _, index in batches]).tolist() == [i for i in range(600) if i != 7]
    assert "cat/007.png" in caplog.text


def test_evaluation_may_be_left_early(make_folder):
    source = open_source(str(make_folder(per_class=200)))
    images, _ = next(eval_batches(source, 8, config(), 10, CPU))
    assert len(images) == 10


@pytest.mark.parametrize(
    ("height", "width", "cut"),
    [
        (16, 16, True),
        (17, 18, True),
        (16, 23, True),
        (18, 21, True),
        (16, 140, False),
        (19, 19, False),
        (15, 16, False),
    ],
)
def test_an_array_that_is_only_to_be_cut_is_cut_as_images_are(height, width, cut, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, height, width, 3), dtype=np.uint8)
    source = Source("pictures", images=images)
    assert evaluation._is_to_cut(source, 16) == cut
    batches = list(eval_batches(source, 16, config(), 3, CPU))
    monkeypatch.setattr(evaluation, "_is_to_cut", lambda *_: False)
    for (got, index), (want, position) in zip(batches, eval_batches(source, 16, config(), 3, CPU), strict=True):
        assert torch.equal(got, want)
        assert torch.equal(index, position)
        assert got.is_contiguous(memory_format=torch.channels_last)


def test_an_evaluation_does_not_blow_strips_up(tmp_path, monkeypatch):
    """By its shorter side, 1 x 5000 would become 224 x 1,120,000."""
    Image.new("RGB", (5000, 1)).save(tmp_path / "0.png")
    sizes, resize = [], evaluation.F.resize

    def spy(image, size):
        sizes.append(image.size)
        return resize(image, size)

    monkeypatch.setattr(evaluation.F, "resize", spy)
    ((images, _),) = eval_batches(open_source(str(tmp_path)), 224, config(pipeline="resident"), 8, CPU)
    assert sizes == [(8, 1)]
    assert images.shape == (1, 3, 224, 224)


def test_images_are_normalized_as_views_are():
    images = some_images(48, 8, 8).permute(0, 3, 1, 2)
    before = images.clone()
    result = evaluation.normalize(images, MEAN, STD)
    torch.testing.assert_close(result, F.normalize(images / 255, MEAN, STD), rtol=1e-5, atol=1e-5)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
