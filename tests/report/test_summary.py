"""The head of a report."""

import dataclasses
import re

import pytest

from sslfast.config import DataConfig
from sslfast.recipes.load import load_recipe
from sslfast.report.numbers import accuracy, duration
from sslfast.report.summary import training_seconds, verdict


def knn(trained: float, random: float | None) -> list[dict[str, float]]:
    before = {} if random is None else {"knn_initial_top1": random}
    return [{"step": 10, "epoch": 1.0, "knn_top1": trained, **before}]


@pytest.mark.parametrize(
    ("trained", "random", "images", "expected"),
    [
        (
            0.5,
            0.3,
            500,
            "kNN is 20.0 points above random initialization, on 500 .* do not overlap: the network has",
        ),
        (0.35, 0.3, 60, "kNN is 5.0 points above .* overlap: so few images cannot tell whether it has learned."),
        (
            0.1,
            0.3,
            500,
            "kNN is 20.0 points below .* do not overlap: the features are worse than before",
        ),
        (0.5, None, 500, "An accuracy by itself says little"),
        (0.5, 0.3, 0, "An accuracy by itself says little"),
    ],
)
def test_the_verdict(trained: float, random: float | None, images: int, expected: str) -> None:
    assert re.match(expected, verdict(knn(trained, random), images, "random initialization"))


def test_the_time_of_training_is_that_of_the_steps() -> None:
    recipe = dataclasses.replace(load_recipe("moco_v2_cifar10"), data=DataConfig(batch_size=100))
    metrics = [
        {"step": 0, "epoch": 0.0, "knn_top1": 0.3},
        {"step": 10, "epoch": 0.5, "images_per_second": 50.0},  # 10 steps of 100 images: 20 s
        {"step": 20, "epoch": 1.0, "images_per_second": 100.0},  # 10 s
        {"step": 20, "epoch": 1.0, "knn_top1": 0.4},
        {"step": 30, "epoch": 1.5, "images_per_second": 0.0},  # no rate: the next one stands for it
        {"step": "x", "epoch": 1.5, "images_per_second": 10.0},
        {"step": 40, "epoch": 2.0, "images_per_second": 200.0},  # 20 steps: 10 s
    ]
    assert training_seconds(recipe, metrics) == pytest.approx(40)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
        (90_000, "1 d 1 h"),
        (86_399.9, "1 d 0 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_accuracy_has_its_interval_where_the_number_of_images_is_known() -> None:
    assert accuracy(0.5, 60) == ("50.0%", "37.7 to 62.3%")
    assert accuracy(0.5, 0) == ("50.0%", "")
