"""By what the moving averages normalize: every method that has one."""

import copy

import pytest
import torch

from sslfast.methods.parts.momentum_copy import MomentumCopy
from tests.methods.harness import KEEP, after_step, build_method, tiny_batch

HEAD = {"dim": 8, "hidden": 16, "momentum": 0.9}
QUEUE = {**HEAD, "queue_size": 32}
METHODS = {
    "byol": HEAD,
    "densecl": QUEUE,
    "fast_moco": {**HEAD, "predictor_hidden": 4},
    "lewel_b": {**HEAD, "aligned_dim": 6},
    "lewel_m": {**QUEUE, "aligned_dim": 6},
    "mncl": {**QUEUE, "predictor_hidden": 4},
    "moco_v1": QUEUE,
    "moco_v2": QUEUE,
    "moco_v3": HEAD,
    "resim": {**QUEUE, "window": 2},
    "pcl": {**QUEUE, "clusters": (4,)},
}


@pytest.mark.parametrize("target_norm", ["ema", "own"])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_target_normalizes_by_averages_or_by_its_own_batches(name, target_norm):
    method = build_method(name, target_norm=target_norm, **METHODS[name]).train()
    target = next(module for module in method.children() if isinstance(module, MomentumCopy))
    before = copy.deepcopy(target.state_dict())
    *_, kept = method.loss(tiny_batch(method.num_views))
    statistics = [key for key in before if key.endswith(("running_mean", "running_var"))]
    moved = [not torch.equal(target.state_dict()[key], before[key]) for key in statistics]
    assert all(moved) if target_norm == "own" else not any(moved)
    if target_norm == "ema":
        online = torch.nn.Sequential(
            method.encoder, getattr(method, "head", None) or method.projector
        ).state_dict()
        after_step(method, kept, 0, 2, KEEP)  # at the first step the momentum is 0.9, whatever its schedule
        for key in statistics:
            expected = 0.9 * before[key] + 0.1 * online[key.removeprefix("module.")]
            torch.testing.assert_close(target.state_dict()[key], expected)
