"""Learned temperatures, the other forms of InfoNCE, and CLIP's loss, as modules."""

import math

import pytest
import torch
import torch.nn.functional as F

from sslfast import kernels as K
from sslfast import nn
from tests.nn.compare import assert_same, normalized


@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_clip_is_the_mean_of_both_directions(learnable, smoothing):
    def formula(image, text):
        logits, own = image @ text.T / 0.07, torch.arange(len(image))
        directions = [F.cross_entropy(x, own, label_smoothing=smoothing) for x in (logits, logits.T)]
        return sum(directions) / 2

    loss = nn.CLIPLoss(learnable_temperature=learnable, label_smoothing=smoothing)
    assert_same(loss, formula, normalized(7, 8))


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        (nn.InfoNCELoss, [torch.eye(8)]),
        (nn.InBatchInfoNCELoss, []),
        (nn.NTXentLoss, []),
        (nn.SupConLoss, [torch.arange(6) % 3]),
        (nn.CLIPLoss, []),
    ],
)
def test_a_learned_temperature_starts_where_it_is_told_and_moves(module, extra):
    tensors = normalized(6, 8)[: 1 if module is nn.SupConLoss else 2] + extra
    loss = module(0.2, learnable_temperature=True)
    (parameter,) = loss.parameters()
    assert parameter is loss.log_temperature
    fixed = module(0.2)
    torch.testing.assert_close(loss(*tensors), fixed(*tensors))
    assert not list(fixed.parameters())
    loss(*tensors).backward()
    step = 1e-2
    values = [module(0.2 * math.exp(shift))(*tensors).item() for shift in (step, -step)]
    assert parameter.grad.item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-2, abs=1e-4)
    with torch.no_grad():
        parameter.copy_(torch.tensor(0.5).log())
    torch.testing.assert_close(loss(*tensors), module(0.5)(*tensors))
    assert "temperature=0.2" in repr(loss)
    assert "learnable_temperature=True" in repr(loss)


@pytest.mark.parametrize("share", ["label_smoothing", "positive_prior"])
@pytest.mark.parametrize(
    ("module", "op", "extra"),
    [(nn.InfoNCELoss, K.info_nce, [torch.eye(8)]), (nn.InBatchInfoNCELoss, K.in_batch_info_nce, [])],
)
def test_the_forms_are_the_ops(module, op, extra, share):
    tensors = [*normalized(6, 8), *extra]
    expected = op(*tensors, temperature=0.2, **{share: 0.1})
    torch.testing.assert_close(module(0.2, **{share: 0.1})(*tensors), expected)
    with pytest.raises(ValueError, match=f"{module.__name__}: expected {share} from 0 to below 1, got 1"):
        module(0.2, **{share: 1})
