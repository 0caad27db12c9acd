"""The classes that a network gives to whole images."""

import numpy as np
import pytest
import torch
from PIL import Image

from sslfast.config import DataConfig
from sslfast.data.masks import open_masked
from sslfast.evaluation.segmentation.inference import predictions


class Redness(torch.nn.Module):
    """Class 1 where red is above the mean; notes the shapes of images."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(images.shape))
        assert not self.training
        return torch.stack([-images[:, 0], images[:, 0]], dim=1)


@pytest.mark.parametrize(("size", "seen"), [((60, 40), (32, 48)), ((16, 8), (32, 64)), ((200, 20), (13, 128))])
def test_the_shorter_side_is_brought_to_the_size_and_the_mask_is_whole(size, seen, tmp_path):
    width, height = size
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "classes.txt").write_text("left\nright\n")
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[:, width // 2 :] = 1
    Image.fromarray(np.stack([255 * mask, 0 * mask, 0 * mask], axis=2)).save(tmp_path / "images" / "a.png")
    Image.fromarray(mask).save(tmp_path / "masks" / "a.png")
    network, images = Redness().train(), open_masked(str(tmp_path))
    ((image, truth, predicted),) = predictions(network, images, DataConfig(), 32, torch.device("cpu"))
    assert network.shapes == [(1, 3, *seen)]
    assert image.size == size
    assert np.array_equal(truth, mask)
    assert predicted.shape == truth.shape
    assert (predicted.numpy() == truth).mean() > 0.98
