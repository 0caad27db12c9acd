"""Ranks of the right classes, and the accuracies of them."""

import math

import numpy as np
import torch
from sklearn.metrics import confusion_matrix

from sslfast.evaluation.accuracy import Predictions, accuracy, class_ranks, predicted_classes


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


def test_the_prediction_is_the_first_of_the_best() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5], [2.0, 2.0, 2.0], [-math.inf, 1.0, 1.0], [math.nan, -1.0, math.inf]])
    assert predicted_classes(scores).tolist() == [1, 0, 1, 1]
    assert predicted_classes(torch.full((2, 3), math.nan)).tolist() == [3, 3]
    assert predicted_classes(torch.full((2, 3), -math.inf)).tolist() == [3, 3]


def test_confusion_in_parts_is_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(4, (200, 7), generator=generator).float()  # many are equal
    labels = torch.randint(6, (200,), generator=generator)  # class 6 has no image
    found = Predictions(7)
    for part in range(0, 200, 60):
        found.add(scores[part : part + 60], labels[part : part + 60])
    counts = np.zeros((7, 7), dtype=int)
    for label, predicted, images in found.confusion():
        counts[label, predicted] = images
    assert np.array_equal(counts, confusion_matrix(labels, predicted_classes(scores), labels=range(7)))
    assert len(found.confusion()) == np.count_nonzero(counts)
    assert counts.trace() / 200 == found.accuracies()["top1"]
    present = counts.sum(1) > 0
    shares = counts.diagonal()[present] / counts.sum(1)[present]
    assert np.isclose(shares.mean(), found.accuracies()["class_mean"])


def test_what_nothing_is_predicted_for_is_in_no_pair() -> None:
    found = Predictions(2)
    found.add(torch.tensor([[math.nan, math.nan], [0.0, 1.0]]), torch.tensor([0, 1]))
    assert found.confusion() == [[1, 1, 1]]
    assert found.accuracies() == {"top1": 0.5, "class_mean": 0.5}
