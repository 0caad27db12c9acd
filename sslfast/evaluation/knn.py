"""The weighted nearest-neighbour classifier: no training, nothing to tune."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import DataConfig
from sslfast.config.fields import STRICT, Count, Positive
from sslfast.data import Source
from sslfast.encoders import Encoder
from sslfast.evaluation.accuracy import accuracy, class_ranks
from sslfast.evaluation.features import train_val_features
from sslfast.evaluation.options import EvaluationConfig
from sslfast.evaluation.protocol import Protocol, Row

KNN_TEMPERATURE = 0.1  # Wu et al. 2018, section 3.4: 0.07; 0.1 in most evaluations since

# Similarities held at once, (queries of a chunk) x (training images): 64 MiB in float32.
SIMILARITIES = 2**24


@dataclass(config=STRICT)
class KNNConfig(EvaluationConfig):
    """The weighted vote of the nearest training images, by the cosine of the features."""

    k: Annotated[list[Count], Field(min_length=1)] = field(default_factory=lambda: [200, 20])
    """Numbers of neighbours that vote, a row of results each; at most as many as there are training images."""
    temperature: Positive = KNN_TEMPERATURE
    """Temperature of the votes: a neighbour's weighs exp(similarity / temperature)."""


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
    """The accuracy of the weighted kNN classifier of InstDisc (Wu et al. 2018, section 3.4).

    The k training images most similar to a query by cosine s_i vote for their classes, and class c gets
    sum_i exp(s_i / temperature) [y_i = c]. Ours where the paper is silent: equal votes are in the order of the
    class numbers, and a class without a vote is never a prediction, so that few neighbours do not win a top-5 by
    luck.

    Args:
        train_x: (N, D) features of the training images, of any norm.
        train_y: (N,) int64 classes in [0, num_classes).
        val_x: (M, D) features of the queries, on the same device.
        val_y: (M,) int64 classes.
        k: number of neighbours that vote; with k > N all training images do.
        temperature: temperature of the votes' weights.
        num_classes: number of classes.
        check_interrupt: is called before each chunk of queries; what it raises ends the classification.

    Returns:
        {"top1", "top5"}, shares of the queries in [0, 1]; no "top5" with five classes or fewer, where it says
        nothing. Memory beside the arguments stays bounded: queries are taken in chunks.
    """
    train_x, val_x = F.normalize(train_x, dim=1), F.normalize(val_x, dim=1)
    k = min(k, len(train_x))
    chunk = max(1, SIMILARITIES // max(len(train_x), num_classes))
    places = []
    for query, y in zip(val_x.split(chunk), val_y.split(chunk), strict=True):
        check_interrupt()
        similarity, neighbors = (query @ train_x.T).topk(k, dim=1)  # [chunk, k], the best first
        # exp((s - s_max) / t) differs from exp(s / t) by a factor a query: same order, no overflow. In float64
        # the order in which a GPU adds the votes cannot matter but to exact ties.
        weight = ((similarity - similarity[:, :1]).double() / temperature).exp()
        votes = weight.new_zeros(len(query), num_classes).scatter_add_(1, train_y[neighbors], weight)
        places.append(class_ranks(votes.masked_fill_(votes == 0, -torch.inf), y))
    return accuracy(torch.cat(places), num_classes)


def _judge(
    encoder: Encoder, train: Source, val: Source, data: DataConfig, options: KNNConfig, _: Path
) -> list[Row]:
    features = train_val_features(encoder, train, val, data, options)
    # More neighbours than images is the vote of all images; the table shows how many voted.
    counts = dict.fromkeys(min(k, len(features[0])) for k in options.k)
    t, num_classes = options.temperature, len(train.classes)
    return [{"k": k, **knn_accuracy(*features, k=k, temperature=t, num_classes=num_classes)} for k in counts]


KNN = Protocol(KNNConfig, _judge)
