"""The weighted nearest-neighbor classifier: no training, nothing to tune."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.config import DataConfig
from sslfast.data import Source
from sslfast.device import DTYPES
from sslfast.encoders import Encoder
from sslfast.evaluation.accuracy import Predictions
from sslfast.evaluation.classification import classification
from sslfast.evaluation.features import train_val_features
from sslfast.evaluation.knn_config import KNNConfig
from sslfast.evaluation.protocol import CONFUSION, Row

# Similarities held at once, (queries of a chunk) x (training images of a chunk), or features of these: 64 MiB.
SIMILARITIES = 2**24
QUERIES = 1024  # of a chunk, at most


def knn_predictions(
    train_x: Tensor,
    train_y: Tensor,
    val_x: Tensor,
    val_y: Tensor,
    *,
    ks: Sequence[int],
    temperatures: Sequence[float],
    num_classes: int,
    check_interrupt: Callable[[], None] = lambda: None,
) -> dict[tuple[int, float], Predictions]:
    """Makes the predictions of the weighted kNN classifier of InstDisc (Wu et al. 2018, section 3.4).

    The k training images most similar to a query by cosine s_i vote for their classes, and class c gets
    sum_i exp(s_i / temperature) [y_i = c]. Ours where the paper is silent: equal votes are in the order of the
    class numbers, and a class without a vote is never a prediction, so that few neighbors do not win a top-5 by
    luck.

    The neighbors are exact, and searched for once. Similarities are computed in fp32, whatever the features'
    dtype, a part of the queries by a part of the training images at a time: memory beside the arguments stays
    bounded, whatever their number.

    Args:
        train_x: (N, D) features of the training images, of any norm and floating dtype.
        train_y: (N,) int64 classes in [0, num_classes).
        val_x: (M, D) features of the queries, on the same device.
        val_y: (M,) int64 classes.
        ks: numbers of neighbors that vote; with k > N all training images do.
        temperatures: temperatures of the votes' weights.
        num_classes: number of classes.
        check_interrupt: is called before each chunk of queries; what it raises ends the classification.

    Returns:
        What the queries are taken for, by k and temperature.
    """
    most = min(max(ks), len(train_x))
    every = {pair: Predictions(num_classes) for pair in itertools.product(ks, temperatures)}
    chunk = max(1, min(QUERIES, SIMILARITIES // max(most, num_classes)))
    for query, y in zip(val_x.split(chunk), val_y.split(chunk), strict=True):
        check_interrupt()
        similarity, neighbors = _nearest(F.normalize(query.float(), dim=1), train_x, most)
        for (k, temperature), predictions in every.items():
            # exp((s - s_max) / t) differs from exp(s / t) by a factor a query: same order, no overflow. In float64
            # the order in which a GPU adds the votes cannot matter but to exact ties.
            weight = ((similarity[:, :k] - similarity[:, :1]).double() / temperature).exp()
            votes = weight.new_zeros(len(query), num_classes).scatter_add_(1, train_y[neighbors[:, :k]], weight)
            predictions.add(votes.masked_fill_(votes == 0, -torch.inf), y)
    return every


def knn_accuracy(
    train_x: Tensor,
    train_y: Tensor,
    val_x: Tensor,
    val_y: Tensor,
    *,
    k: int,
    temperature: float,
    num_classes: int,
    check_interrupt: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Computes the accuracies of `knn_predictions` of one k and one temperature."""
    every = knn_predictions(
        train_x,
        train_y,
        val_x,
        val_y,
        ks=[k],
        temperatures=[temperature],
        num_classes=num_classes,
        check_interrupt=check_interrupt,
    )
    return every[k, temperature].accuracies()


def _nearest(query: Tensor, train_x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Finds the k training images nearest to each of M unit queries, best first: cosines and positions, (M, k)."""
    size = max(1, SIMILARITIES // max(query.shape))
    similarity = query.new_empty((len(query), 0))
    neighbors = torch.empty((len(query), 0), dtype=torch.int64, device=query.device)
    for start in range(0, len(train_x), size):
        part = F.normalize(train_x[start : start + size].float(), dim=1)
        near, place = (query @ part.T).topk(min(k, len(part)), dim=1)
        similarity = torch.cat([similarity, near], dim=1)
        similarity, order = similarity.topk(min(k, similarity.shape[1]), dim=1)
        neighbors = torch.cat([neighbors, place + start], dim=1).gather(1, order)
    return similarity, neighbors


def _judge(
    encoder: Encoder, train: Source, val: Source, data: DataConfig, options: KNNConfig, _: Path
) -> list[Row]:
    features = train_val_features(encoder, train, val, data, options, train_dtype=DTYPES[options.bank])
    # More neighbors than images is the vote of all images; the table shows how many voted.
    ks = list(dict.fromkeys(min(k, len(features[0])) for k in options.k))
    temperatures = list(dict.fromkeys(options.temperature))
    every = knn_predictions(*features, ks=ks, temperatures=temperatures, num_classes=len(train.classes))
    rows: list[Row] = [{"k": k, "temperature": f"{t:g}", **found.accuracies()} for (k, t), found in every.items()]
    rows[0][CONFUSION] = every[ks[0], temperatures[0]].confusion()
    return rows


KNN = classification(KNNConfig, _judge)
