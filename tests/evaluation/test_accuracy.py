"""Ranks of the right classes, and the accuracies of them."""

import math

import torch

from sslfast.evaluation.accuracy import accuracy, class_ranks


def test_the_rank_of_a_class_is_how_many_score_above_it() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5], [0.1, 0.9, 0.5]])
    assert class_ranks(scores, torch.tensor([1, 2, 0])).tolist() == [0, 1, 2]


def test_equal_scores_are_in_the_order_of_the_classes() -> None:
    assert class_ranks(torch.zeros(3, 3), torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def test_what_is_no_candidate_comes_last() -> None:
    scores = torch.tensor([[-math.inf, 0.0], [math.nan, 0.0], [-math.inf, -math.inf]])
    assert class_ranks(scores, torch.zeros(3, dtype=torch.int64)).tolist() == [2, 2, 2]


def test_accuracies_are_shares_of_the_images() -> None:
    ranks = torch.tensor([0, 0, 1, 4, 5])
    assert accuracy(ranks, 6) == {"top1": 0.4, "top5": 0.8}
    assert accuracy(ranks, 5) == {"top1": 0.4}
