"""Jigsaw Clustering against a plain transcription of its paper's losses, patch by patch."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.methods.jigsaw_clustering import patch_features, patch_order
from sslfast.recipes.load import load_recipe
from tests.methods.harness import BATCH, assert_equals_transcription, build_method, tiny_batch


def build(views=4, side=16, **settings):
    data = DataConfig(size=side, batch_size=BATCH, views=[ViewConfig()] * views)
    return build_method("jigsaw_clustering", **{"data": data, "dim": 8, "hidden": 16, **settings})


def jigsaw_clustering(method, batch):
    config, m = method.config, round(len(batch.views) ** 0.5)
    patches = [(image, place) for image in range(BATCH) for place in range(m * m)]
    mixed = [patches[i] for i in patch_order(batch).tolist()]
    pixels = [batch.views[place][image] for image, place in mixed]
    montages = [
        torch.cat([torch.cat(pixels[j : j + m], dim=2) for j in range(i, i + m * m, m)], dim=1)
        for i in range(0, len(pixels), m * m)
    ]
    maps = method.encoder(torch.stack(montages), dense=True)
    if maps.shape[2] % m:
        side = maps.shape[2] + m - maps.shape[2] % m
        maps = F.interpolate(maps, (side, side), mode="bilinear")
    s = maps.shape[2] // m
    features = torch.stack(
        [
            x[:, s * i : s * (i + 1), s * j : s * (j + 1)].mean((1, 2))
            for x in maps
            for i in range(m)
            for j in range(m)
        ]
    )
    z = F.normalize(method.head(features), dim=1)
    clustering = location = 0.0
    for a, (image, place) in enumerate(mixed):
        others = [b for b in range(len(mixed)) if b != a]
        exps = {b: torch.exp(z[a] @ z[b] / config.temperature) for b in others}
        positives = [b for b in others if mixed[b][0] == image]
        assert len(positives) == m * m - 1
        terms = [torch.log(exps[b] / sum(exps.values())) for b in positives]
        clustering = clustering - sum(terms) / len(terms) / len(mixed)
        location = location - F.log_softmax(method.location(features[a]), dim=0)[place] / len(mixed)
    scale = config.temperature / config.base_temperature
    return config.clustering_weight * scale * clustering + config.location_weight * location


@pytest.mark.parametrize(
    ("views", "side", "settings"),
    [
        (4, 16, {}),
        (4, 12, {"clustering_weight": 0.5, "location_weight": 2.0}),  # whose map of 3 x 3 is enlarged
        (9, 8, {"temperature": 0.1, "base_temperature": 0.1}),
    ],
)
def test_loss_and_gradients_equal_the_transcription(views, side, settings):
    method, batch = build(views, side, **settings), tiny_batch(views, side=side)
    assert_equals_transcription(method, batch, jigsaw_clustering)


def test_montages_mix_the_patches_of_all_images_and_every_epoch_anew():
    batch = tiny_batch(4)
    order = patch_order(batch)
    assert sorted(order.tolist()) == list(range(4 * BATCH))
    images = (order // 4).view(BATCH, 4)
    assert (images != images[:, :1]).any()
    assert (order % 4 != torch.arange(4).repeat(BATCH)).any()
    assert torch.equal(patch_order(batch), order)
    assert not torch.equal(patch_order(dataclasses.replace(batch, epoch=1)), order)


def test_a_patch_has_the_mean_of_its_part_of_the_map():
    maps = torch.arange(2 * 16.0).view(2, 1, 4, 4)
    expected = torch.tensor([2.5, 4.5, 10.5, 12.5])
    assert torch.equal(patch_features(maps, 4)[:, 0], torch.cat([expected, expected + 16]))


def test_the_recipe_for_imagenet_is_the_authors():
    recipe = load_recipe("jigsaw_clustering_imagenet")
    method, data = recipe.method, recipe.data
    assert (method.dim, method.hidden, method.temperature, method.base_temperature) == (128, 2048, 0.3, 0.07)
    assert (method.clustering_weight, method.location_weight) == (1, 1)
    assert (data.size, data.sizes) == (224, [112] * 4)
    regions = [tuple(round(edge, 6) for edge in view.region) for view in data.views]
    assert regions == [(0, 0, 0.8, 0.8), (0, 0.2, 0.8, 1), (0.2, 0, 1, 0.8), (0.2, 0.2, 1, 1)]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([16] * 2, "data.views: expected 4, 9, 16, ... views of one size, .* got 2 of 16 pixels"),
        ([16], "got 1 of 16 pixels"),
        ([16, 16, 16, 8], "got 4 of 8, 16 pixels; take data.views=jigsaw_clustering"),
    ],
)
def test_views_that_make_no_montage_are_refused(sizes, message):
    data = DataConfig(size=16, batch_size=BATCH, views=[ViewConfig(size=size) for size in sizes])
    with pytest.raises(UsageError, match=message):
        build(data=data)
