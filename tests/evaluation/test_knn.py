import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from sslfast.benchmarks.measure.memory import extra_memory
from sslfast.evaluation import knn
from sslfast.evaluation.knn import knn_accuracy, knn_predictions


def blobs(
    n: int, classes: int, dim: int = 16, noise: float = 1.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draws features around one center a class, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(1234))
    y = torch.randint(classes, (n,), generator=generator)
    return centers[y] + noise * torch.randn(n, dim, generator=generator), y


def by_query(train_x, train_y, val_x, val_y, k, temperature, classes):
    """Computes top-1 and top-5 by the definition, one query at a time in float64."""
    top1, top5 = 0, 0
    for x, y in zip(val_x.double(), val_y.tolist(), strict=True):
        similarity = [float(x @ t / (x.norm() * t.norm())) for t in train_x.double()]
        nearest = sorted(range(len(similarity)), key=lambda i: -similarity[i])[:k]
        votes = dict.fromkeys(range(classes), 0.0)
        for i in nearest:
            votes[int(train_y[i])] += math.exp(similarity[i] / temperature)
        ranking = [c for c in sorted(votes, key=lambda c: -votes[c]) if votes[c] > 0]
        top1 += ranking[0] == y
        top5 += y in ranking[:5]
    return top1 / len(val_y), top5 / len(val_y)


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.1), (7, 0.1), (50, 0.1), (50, 1.0)])
def test_agrees_with_the_definition(k: int, temperature: float) -> None:
    train, val = blobs(120, classes=9, noise=1.5), blobs(60, classes=9, noise=1.5, seed=1)
    expected = by_query(*train, *val, k, temperature, 9)
    result = knn_accuracy(*train, *val, k=k, temperature=temperature, num_classes=9)
    assert 0.2 < expected[0] < 0.98  # the data distinguish a right classifier from a lucky one
    assert (result["top1"], result["top5"]) == expected


def test_agrees_with_scikit_learn() -> None:
    train, val = blobs(200, classes=4, noise=1.5), blobs(100, classes=4, noise=1.5, seed=1)
    peer = KNeighborsClassifier(
        n_neighbors=15, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.1)
    ).fit(train[0], train[1])
    result = knn_accuracy(*train, *val, k=15, temperature=0.1, num_classes=4)
    assert result["top1"] == pytest.approx(peer.score(*val))


def test_chunks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = blobs(90, classes=6), blobs(50, classes=6, seed=1)
    whole = knn_accuracy(*train, *val, k=20, temperature=0.1, num_classes=6)
    monkeypatch.setattr(knn, "QUERIES", 7)
    assert knn_accuracy(*train, *val, k=20, temperature=0.1, num_classes=6) == whole
    monkeypatch.setattr(knn, "SIMILARITIES", 13 * 7)  # training images, too, in parts that do not divide them
    assert knn_accuracy(*train, *val, k=20, temperature=0.1, num_classes=6) == whole
    few = knn_accuracy(*train, *val, k=3, temperature=0.1, num_classes=6)
    assert (few["top1"], few["top5"]) == by_query(*train, *val, 3, 0.1, 6)


def test_several_numbers_and_temperatures_are_each_as_alone() -> None:
    train, val = blobs(120, classes=9, noise=1.5), blobs(60, classes=9, noise=1.5, seed=1)
    every = knn_predictions(*train, *val, ks=[1, 500, 7], temperatures=[0.07, 1.0], num_classes=9)
    assert list(every) == [(1, 0.07), (1, 1.0), (500, 0.07), (500, 1.0), (7, 0.07), (7, 1.0)]
    for (k, temperature), result in every.items():
        alone = knn_accuracy(*train, *val, k=k, temperature=temperature, num_classes=9)
        assert result.accuracies() == alone
    assert len({result.accuracies()["top1"] for result in every.values()}) > 2


def test_features_in_bf16_are_compared_in_fp32() -> None:
    (train_x, train_y), (val_x, val_y) = blobs(120, classes=9), blobs(60, classes=9, seed=1)
    narrow = train_x.bfloat16(), train_y, val_x.bfloat16(), val_y
    wide = train_x.bfloat16().float(), train_y, val_x.bfloat16().float(), val_y
    options = {"k": 7, "temperature": 0.1, "num_classes": 9}
    assert knn_accuracy(*narrow, **options) == knn_accuracy(*wide, **options)


def test_the_norm_of_features_does_not_matter() -> None:
    (x, y), val = blobs(90, classes=6), blobs(50, classes=6, seed=1)
    scale = torch.linspace(0.1, 100, len(x))[:, None]
    assert knn_accuracy(x * scale, y, *val, k=9, temperature=0.1, num_classes=6) == knn_accuracy(
        x, y, *val, k=9, temperature=0.1, num_classes=6
    )


def test_more_neighbors_than_images_is_the_vote_of_all() -> None:
    train, val = blobs(30, classes=6), blobs(20, classes=6, seed=1)
    assert knn_accuracy(*train, *val, k=500, temperature=0.1, num_classes=6) == knn_accuracy(
        *train, *val, k=30, temperature=0.1, num_classes=6
    )


def test_a_small_temperature_does_not_overflow() -> None:
    train, val = blobs(60, classes=6, noise=0.01), blobs(20, classes=6, noise=0.01, seed=1)
    assert knn_accuracy(*train, *val, k=30, temperature=1e-4, num_classes=6)["top1"] == 1


def test_a_class_without_votes_is_not_predicted() -> None:
    # One neighbor votes for one class: the top 5 holds no other.
    x = torch.eye(6)
    result = knn_accuracy(
        x, torch.arange(6), x, torch.tensor([1, 2, 3, 4, 5, 0]), k=1, temperature=0.1, num_classes=6
    )
    assert result == {"top1": 0, "top5": 0, "class_mean": 0}


def test_no_top5_with_few_classes() -> None:
    train, val = blobs(30, classes=5), blobs(20, classes=5, seed=1)
    assert knn_accuracy(*train, *val, k=5, temperature=0.1, num_classes=5).keys() == {"top1", "class_mean"}


def test_shuffled_labels_give_chance() -> None:
    (x, y), (val_x, val_y) = blobs(600, classes=4), blobs(400, classes=4, seed=1)
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    top1 = knn_accuracy(x, y, val_x, val_y, k=20, temperature=0.1, num_classes=4)["top1"]
    # 4 clusters, each a lottery among 4 classes with a slight majority: far from the 100 % of true labels.
    assert top1 < 0.5


@pytest.mark.parametrize("queries", [1, 300])
def test_no_second_copy_of_the_training_features_is_made(queries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in fp32 of those in bf16, nor normalized, nor one similarity for each of them and each query."""
    monkeypatch.setattr(knn, "SIMILARITIES", 2**18)
    train_x = torch.ones(100_000, 256, dtype=torch.bfloat16)  # 49 MiB
    train_y = torch.zeros(len(train_x), dtype=torch.int64)
    val = torch.ones(queries, 256), torch.zeros(queries, dtype=torch.int64)

    def classify() -> None:
        knn_accuracy(train_x, train_y, *val, k=20, temperature=0.1, num_classes=2)

    classify()  # what the first call loads
    extra = extra_memory(classify, torch.device("cpu"))
    if extra is None:
        pytest.skip("the peak of memory cannot be read here")
    assert extra < 20 * 2**20
