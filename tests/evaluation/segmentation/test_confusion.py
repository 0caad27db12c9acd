"""The measures of a confusion matrix."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score, recall_score
from sklearn.metrics import confusion_matrix as by_sklearn

from sslfast.data.masks import IGNORED
from sslfast.evaluation.segmentation.confusion import confusion_matrix, measures


def test_equal_to_scikit_learns():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 5, (2, 3, 40, 50))
    predicted = np.where(rng.random(truth.shape) < 0.5, truth, predicted)
    found = confusion_matrix(torch.from_numpy(truth.astype(np.uint8)), torch.from_numpy(predicted), 5)
    truth, predicted = truth.ravel(), predicted.ravel()
    assert np.array_equal(found, by_sklearn(truth, predicted))
    result = measures(found, "abcde")
    assert list(result["iou"].values()) == pytest.approx(jaccard_score(truth, predicted, average=None))
    assert result["miou"] == pytest.approx(jaccard_score(truth, predicted, average="macro"))
    assert result["pixel_accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert result["class_mean"] == pytest.approx(recall_score(truth, predicted, average="macro"))


def test_ignored_pixels_do_not_count():
    truth = torch.tensor([[0, 1, IGNORED], [2, IGNORED, 2]], dtype=torch.uint8)
    predicted = torch.tensor([[0, 0, 1], [2, 2, 1]])
    assert confusion_matrix(truth, predicted, 3).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


def test_a_class_without_pixels_counts_where_it_is_predicted():
    result = measures(torch.tensor([[6, 2, 0], [0, 0, 0], [0, 0, 0]]), ["a", "predicted", "nowhere"])
    assert result["iou"] == {"a": 0.75, "predicted": 0.0, "nowhere": None}
    assert result["miou"] == pytest.approx(0.75 / 2)
    assert result["class_mean"] == result["pixel_accuracy"] == 0.75
