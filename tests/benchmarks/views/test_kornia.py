"""kornia's form of a view, which `make bench-views` sets beside ours: with the same draws it is the same view."""

import dataclasses

import pytest
import torch

pytest.importorskip("kornia")

from sslfast import kernels as K
from sslfast.benchmarks.views.pipelines import kornia_view
from sslfast.kernels.view_augment import Draw
from sslfast.recipes.load import load_recipe

LEVEL = 1 / 255
BATCH = 24


def draws_of(augment, size):
    """Reads the draws of kornia, as a table of ours: fp32 (B, 14)."""
    by_name = {item.name.rsplit("_", 1)[0]: item.data for item in augment._params}
    crop, jitter = by_name["RandomResizedCrop"], by_name["ColorJitter"]
    left_top, right_bottom = crop["src"][:, 0], crop["src"][:, 2]  # both of them inside
    table = torch.zeros(BATCH, len(Draw))
    table[:, [Draw.LEFT, Draw.TOP]] = left_top
    table[:, [Draw.WIDTH, Draw.HEIGHT]] = right_bottom - left_top + 1
    table[:, Draw.FLIP] = by_name["RandomHorizontalFlip"]["batch_prob"]
    table[:, Draw.JITTER] = jitter["batch_prob"]
    for column in (Draw.BRIGHTNESS, Draw.CONTRAST, Draw.SATURATION, Draw.HUE):
        table[:, column] = jitter[f"{column.name.lower()}_factor"]
    table[:, Draw.ORDER] = (jitter["order"] * 4 ** torch.arange(4)).sum()
    table[:, Draw.GRAYSCALE] = by_name["RandomGrayscale"]["batch_prob"]
    if blur := by_name.get("RandomGaussianBlur"):
        table[:, Draw.SIGMA] = blur["sigma"] * blur["batch_prob"]
    return table


@pytest.mark.parametrize(("recipe", "side", "size"), [("moco_v2", 72, 63), ("moco_v2_cifar10", 32, 32)])
def test_with_the_same_draws_it_is_our_view(recipe, side, size):
    torch.manual_seed(0)
    data = dataclasses.replace(load_recipe(recipe).data, mean=(0.0,) * 3, std=(1.0,) * 3)
    coarse = torch.rand(BATCH, 3, 8, 8)
    images = torch.nn.functional.interpolate(coarse, side, mode="bicubic").clamp(0, 1).mul(255).byte()
    augment = kornia_view(data.views[0], size, data)
    theirs = augment(images / 255)
    table = draws_of(augment, size)
    ours = K.view_augment(images.permute(0, 2, 3, 1).contiguous(), table, size=size, mean=data.mean, std=data.std)
    enlarged = (table[:, [Draw.WIDTH, Draw.HEIGHT]] <= size).all(dim=1)  # kornia does not antialias the others
    assert enlarged.sum() > BATCH / 2
    torch.testing.assert_close(theirs[enlarged], ours[enlarged], atol=LEVEL, rtol=0)
    for column in (Draw.FLIP, Draw.JITTER, Draw.GRAYSCALE):
        assert 0 < table[:, column].mean() < 1  # both have been compared
