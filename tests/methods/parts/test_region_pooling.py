"""Regions pooled by an integral, against sums over many sampled points."""

import torch
import torch.nn.functional as F

from sslfast.methods.parts.region_pooling import pool_regions


def sampled(image, region, count=400):
    """Averages a map (C, h, w) over points, bilinearly interpolated, 0 beyond its outermost cells' middles."""
    top, left, bottom, right = region.tolist()
    share = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    rows, columns = top + (bottom - top) * share, left + (right - left) * share
    (height, width), ones = image.shape[1:], torch.ones_like(image[:1])
    points = torch.stack(torch.meshgrid(2 * columns / width - 1, 2 * rows / height - 1, indexing="xy"), dim=2)
    values = F.grid_sample(torch.cat([image, ones])[None], points[None], align_corners=False)[0]
    *sums, weight = values.sum((1, 2))
    return torch.stack(sums) / weight


def test_the_pooled_are_the_means_of_many_points():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    corner = torch.rand(2, 6, 2, generator=generator, dtype=torch.float64) * 2
    extent = 0.3 + torch.rand(2, 6, 2, generator=generator, dtype=torch.float64) * 1.7
    regions = torch.cat([corner, corner + extent], dim=2)
    regions[:, 0] = torch.tensor([0.0, 0, 4, 5])
    pooled = pool_regions(maps, regions)
    assert pooled.shape == (2, 6, 3)
    for b in range(2):
        for n in range(6):
            torch.testing.assert_close(pooled[b, n], sampled(maps[b], regions[b, n]), rtol=1e-3, atol=1e-3)


def test_a_mirrored_map_has_the_same_vectors_in_the_mirrored_regions():
    maps = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(0))
    region, mirrored = torch.tensor([[[0.5, 0.2, 2, 1.7]]]), torch.tensor([[[0.5, 2.3, 2, 3.8]]])
    torch.testing.assert_close(pool_regions(maps.flip(3), mirrored), pool_regions(maps, region))


def test_a_region_of_a_flat_map_has_its_value():
    maps = torch.full((1, 1, 3, 3), 2.0)
    torch.testing.assert_close(pool_regions(maps, torch.tensor([[[0, 0, 0.4, 3]]])), torch.full((1, 1, 1), 2.0))
