"""MoCo's two other sources of negatives: end-to-end, and a memory bank (He et al. 2020, figure 2)."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import EncoderConfig
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe
from tests.methods.harness import BATCH, KEEP, SKIP, after_step, build_method, tiny_batch


def build(negatives, **settings):
    small = {"dim": 8, "hidden": 16, "queue_size": 32, "negatives": negatives}
    return build_method("moco_v2", **{**small, **settings})


def queries(method, *views):
    network = copy.deepcopy(torch.nn.Sequential(method.encoder, method.head))
    return network, *(F.normalize(network(view), dim=1) for view in views)


def assert_same_gradients(method, network):
    for ours, theirs in zip(method.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_end_to_end_keys_receive_gradient():
    method, batch = build("batch"), tiny_batch()
    network, q, k = queries(method, *batch.views)
    expected = F.cross_entropy(q @ k.T / 0.2, torch.arange(BATCH))
    expected.backward()
    loss, _, kept = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    assert_same_gradients(method, network)  # there is no other network
    before = copy.deepcopy(method.state_dict())
    after_step(method, kept, 0, 1, KEEP)
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


def test_end_to_end_a_positive_shares_no_batch_statistics():
    """The paper shuffles here as well (section 3.3): the keys are split in another order than the queries."""
    encoder = EncoderConfig(stem="cifar", width=0.125, norm="split", norm_splits=4)
    method, batch = build("batch", encoder=encoder), tiny_batch()
    torch.manual_seed(3)
    order = torch.randperm(BATCH)
    network, q, shuffled = queries(method, batch.views[0], batch.views[1][order])
    expected = F.cross_entropy(q @ shuffled[order.argsort()].T / 0.2, torch.arange(BATCH))
    expected.backward()
    torch.manual_seed(3)
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    assert_same_gradients(method, network)


def test_the_bank_gives_the_positive_and_the_negatives():
    method, batch = build("bank"), tiny_batch()
    network, q = queries(method, batch.views[0])
    rows, noise = method.bank.rows, method.bank.noise(batch, 32)
    positive = (q * rows[batch.index]).sum(1, keepdim=True)
    logits = torch.cat([positive, q @ rows[noise].T], dim=1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(BATCH, dtype=torch.int64))
    expected.backward()
    loss, *_ = method.loss(batch)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    assert_same_gradients(method, network)


def test_the_bank_moves_towards_the_queries():
    method, batch = build("bank", bank_momentum=0.25), tiny_batch()
    _, q = queries(method, batch.views[0])
    before = method.bank.rows.clone()
    *_, kept = method.loss(batch)
    after_step(method, kept, 0, 1, SKIP)
    assert torch.equal(method.bank.rows, before)
    after_step(method, kept, 0, 1, KEEP)
    expected = F.normalize(0.25 * before[batch.index] + 0.75 * q.detach(), dim=1)
    torch.testing.assert_close(method.bank.rows[batch.index], expected)
    assert torch.equal(method.bank.rows[BATCH:], before[BATCH:])


@pytest.mark.parametrize("negatives", ["batch", "bank"])
def test_both_compile_the_one_encoder(negatives):
    method = build(negatives)
    assert method.compiled() == [method.encoder]
    assert not [name for name, _ in method.named_modules() if name.startswith(("queue", "key_network"))]


@pytest.mark.parametrize("negatives", ["batch", "bank"])
def test_symmetric_is_refused(negatives):
    with pytest.raises(UsageError, match=f"symmetric=true: expected method.negatives=queue, got {negatives}"):
        build(negatives, symmetric=True)


@pytest.mark.parametrize("setting", ["negatives=batch", "bank_momentum=0.5"])
@pytest.mark.parametrize("name", ["densecl", "lewel_m", "pcl"])
def test_methods_made_for_the_queue_have_no_choice(name, setting):
    with pytest.raises(UsageError, match=f"unknown key 'method.{setting.partition('=')[0]}'"):
        load_recipe(f"{name}_cifar10", [f"method.{setting}"])


def test_a_bank_of_the_batch_alone_is_refused():
    with pytest.raises(UsageError, match="data.batch_size=8: expected fewer than the 8 images"):
        build("bank", images=8)
