"""The last steps of every loss, on numbers by hand."""

import math

import pytest
import torch

from sslfast.kernels.common.losses import positive_ranks, reduce


@pytest.mark.parametrize(("reduction", "expected"), [("mean", 2.0), ("sum", 6.0), ("none", [1.0, 2.0, 3.0])])
def test_reduce(reduction, expected):
    assert reduce(torch.tensor([1.0, 2.0, 3.0]), reduction).tolist() == expected


def test_positive_ranks_count_what_is_greater():
    logits = torch.tensor([[3.0, 1, 2], [1, 1, 1], [0, 5, math.nan], [-math.inf, 0, 7]], requires_grad=True)
    target = torch.tensor([0, 1, 0, 1])
    ranks = positive_ranks(logits, target, needed=True)
    assert ranks.tolist() == [0, 0, 1, 1]
    assert not ranks.requires_grad
    assert positive_ranks(logits, target, needed=False).shape == (0,)
