"""ReSim against a plain transcription of its published code, window by window."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, EncoderConfig, ViewConfig
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods.parts.region_pooling import pool_regions
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe
from sslfast.views import aligned_windows
from tests.methods.harness import BATCH, KEEP, after_step, assert_equals_transcription, build_method, tiny_batch

SMALL = {"dim": 8, "hidden": 16, "queue_size": 32, "momentum": 0.9, "window": 2}


def build(**settings):
    method = build_method("resim", **{**SMALL, **settings})
    with torch.no_grad():  # so that the keys are some steps behind
        for parameter in [*method.encoder.parameters(), *method.head.parameters()]:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return method


def info_nce(q, positive, negatives, temperature):
    logits = torch.cat([(q @ positive)[None], negatives @ q]) / temperature
    return F.cross_entropy(logits, torch.tensor(0))


def transcription(method, views, boxes):
    """Computes the loss of one direction, by the method's networks."""
    encoder, head = method.encoder, method.head
    key_encoder, key_head = method.key_network.module
    config, t = method.config, method.config.temperature

    def outputs(encoder, head, view):
        x = encoder.layer3(encoder.layer2(encoder.layer1(encoder.relu(encoder.bn1(encoder.conv1(view))))))
        cells = head[1](x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])).view(len(x), *x.shape[2:], -1)
        image = head[0](F.adaptive_avg_pool2d(encoder.layer4(x), 1).flatten(1))
        return F.normalize(image, dim=1), cells.permute(0, 3, 1, 2)

    q, q_map = outputs(encoder, head, views[0])
    with torch.no_grad():
        k, k_map = outputs(key_encoder, key_head, views[1])
    side, size, step = q_map.shape[3], config.window, config.step
    starts = range(0, side - size + 1, step)
    rows = [m[:, i : i + size, j : j + size].mean((1, 2)) for m in k_map for i in starts for j in starts]
    negatives = F.normalize(torch.stack(rows), dim=1)
    windows, aligned, inside = aligned_windows(*boxes, side, size, step)
    images, regions = [], []
    for b in range(BATCH):
        images.append(info_nce(q[b], k[b], method.queue.keys, t))
        for n in range(windows.shape[1]):
            if inside[b, n]:
                one = pool_regions(q_map[b : b + 1], windows[b : b + 1, n : n + 1])[0, 0]
                two = pool_regions(k_map[b : b + 1], aligned[b : b + 1, n : n + 1])[0, 0]
                regions.append(info_nce(F.normalize(one, dim=0), F.normalize(two, dim=0), negatives, t))
    assert 0 < len(regions) < inside.numel()
    return torch.stack(images).mean() + config.region_weight * torch.stack(regions).mean()


@pytest.mark.parametrize("settings", [{}, {"region_weight": 0.3}, {"window": 1, "step": 2}], ids=str)
def test_loss_and_gradients_equal_the_transcription(settings):
    method, batch = build(**settings), tiny_batch(dtype=torch.float64)
    assert_equals_transcription(method, batch, lambda twin, data: transcription(twin, data.views, data.boxes))
    assert all(p.grad is None for p in method.key_network.parameters())


def test_a_symmetric_loss_is_the_mean_of_both_directions_of_views_and_crops():
    method, batch = build(symmetric=True).double(), tiny_batch(dtype=torch.float64)
    one = transcription(copy.deepcopy(method), batch.views, batch.boxes)
    two = transcription(copy.deepcopy(method), batch.views[::-1], batch.boxes[::-1])
    assert (one - two).abs() > 1e-3
    loss, _, kept = method.loss(batch)
    torch.testing.assert_close(loss, (one + two) / 2)
    after_step(method, kept, 0, 1, KEEP)
    assert method.queue.pointer == 16


def test_crops_that_do_not_meet_leave_the_loss_of_whole_images():
    method, batch = build(), tiny_batch()
    batch.boxes[1][:, 0] += 1000
    whole = build(region_weight=0.0)
    torch.testing.assert_close(method.loss(batch)[0], whole.loss(batch)[0])


def test_a_window_larger_than_the_map_is_refused():
    with pytest.raises(UsageError, match=r"method.window=5: expected at most the 4 cells of a side of the map"):
        build(window=5)


def test_views_of_two_sizes_are_refused():
    data = DataConfig(batch_size=BATCH, views=[ViewConfig(size=16), ViewConfig(size=24)])
    with pytest.raises(UsageError, match=r"resim: expected views of one size, got \[16, 24\]"):
        build_method("resim", data=data, **SMALL)


@pytest.mark.parametrize("encoder", ["vit_small", "timm/resnet18"])
def test_an_encoder_without_that_map_is_refused(encoder):
    with pytest.raises(UsageError, match=f"encoder.name={encoder}, .*: resim takes the map before"):
        check_recipe(load_recipe("resim_cifar10", [f"encoder.name={encoder}"]))


@pytest.mark.parametrize(("stem", "side"), [("cifar", 8), ("imagenet", 2)])
def test_the_two_maps_of_a_resnet(stem, side):
    encoder = build_encoder(EncoderConfig(name="resnet50", width=0.125, stem=stem)).eval()
    images = torch.randn(2, 3, 32, 32)
    last, c4 = encoder(images, c4=True)
    assert c4.shape == (2, encoder.c4_dim, side, side)
    torch.testing.assert_close(last, encoder(images, dense=True))
    torch.testing.assert_close(encoder.layer4(c4), last)
