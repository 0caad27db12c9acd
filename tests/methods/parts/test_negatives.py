"""The sources of negatives; their losses are tested with MoCo's, whose state dict names their parts."""

import copy

import pytest
import torch
import torch.nn.functional as F

from sslfast.methods.parts.negatives import contrast_in_batch, contrastive_accuracy
from tests.methods.harness import build_method, tiny_batch


def unit(count, dim=8, seed=0):
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_accuracy_is_the_share_of_positives_that_come_first():
    assert contrastive_accuracy(torch.tensor([0, 3, 0, 1, 0])) == {"accuracy": torch.tensor(0.6)}


@pytest.mark.parametrize("chunks", [1, 3])
def test_contrast_in_the_batch_equals_the_transcription(chunks):
    query, keys = unit(chunks * 5), unit(5, seed=1)
    loss, positive_ranks = contrast_in_batch(query, keys, temperature=0.2)
    logits, own = query @ keys.T / 0.2, torch.arange(5).repeat(chunks)
    torch.testing.assert_close(loss, F.cross_entropy(logits, own))
    positive = logits.gather(1, own[:, None])
    assert positive_ranks.tolist() == (logits > positive).sum(1).tolist()


@pytest.mark.parametrize(
    ("negatives", "parts"), [("queue", {"key_network", "queue"}), ("batch", set()), ("bank", {"bank"})]
)
def test_the_method_registers_the_parts(negatives, parts):
    method = build_method("moco_v2", dim=8, hidden=16, queue_size=32, negatives=negatives)
    assert dict(method.named_children()).keys() - {"encoder", "head"} == parts
    assert {key.partition(".")[0] for key in method.state_dict()} == {"encoder", "head", *parts}
    assert all(method.get_submodule(name) is module for name, module in method.negatives.parts().items())


@pytest.mark.parametrize("negatives", ["queue", "batch", "bank"])
def test_a_copy_of_the_method_has_parts_of_its_own(negatives):
    method = build_method("moco_v2", dim=8, hidden=16, queue_size=32, negatives=negatives)
    other = copy.deepcopy(method)
    with torch.no_grad():
        for tensor in (*method.parameters(), *method.buffers()):
            tensor.zero_()
    fresh = build_method("moco_v2", dim=8, hidden=16, queue_size=32, negatives=negatives)
    torch.manual_seed(0)
    loss = other.loss(tiny_batch())[0]
    torch.manual_seed(0)
    torch.testing.assert_close(loss, fresh.loss(tiny_batch())[0])
