"""The rows of several seeds as one."""

import pytest

from sslfast.evaluation.result import shown
from sslfast.evaluation.seeds import Spread, over_seeds


def test_measures_get_mean_and_deviation_and_settings_stand_side_by_side() -> None:
    rows = [
        {"encoder": "a", "seed": 0, "k": 5, "weight_decay": "0.1", "top1": 0.5},
        {"encoder": "a", "seed": 0, "k": 9, "weight_decay": "0.1", "top1": 0.1},
        {"encoder": "a", "seed": 1, "k": 5, "weight_decay": "0.3", "top1": 0.6},
        {"encoder": "a", "seed": 1, "k": 9, "weight_decay": "0.1", "top1": 0.1},
        {"encoder": "b", "seed": 0, "k": 5, "weight_decay": "0.1", "top1": 0.7},
    ]
    first, second, other = over_seeds(rows)
    assert first == {
        "encoder": "a",
        "k": 5,
        "weight_decay": "0.1, 0.3",
        "top1": Spread(pytest.approx(0.55), pytest.approx(0.0707106781)),
    }
    assert shown(first["top1"]) == "55.0% ± 7.1"
    assert second == {"encoder": "a", "k": 9, "weight_decay": "0.1", "top1": Spread(pytest.approx(0.1), 0)}
    assert other == rows[-1]


def test_rows_of_one_seed_and_of_older_versions_stay() -> None:
    rows = [{"encoder": "a", "k": 5, "top1": 0.5}, {"encoder": "a", "k": 9, "top1": 0.1}, {"top1": 0.3}]
    assert over_seeds(rows) == rows


def test_confusions_are_added_up() -> None:
    rows = [{"encoder": "a", "seed": seed, "confusion": [[0, 0, 3], [0, seed, 1]]} for seed in (1, 2)]
    assert over_seeds(rows) == [{"encoder": "a", "confusion": [[0, 0, 6], [0, 1, 1], [0, 2, 1]]}]


def test_the_iou_of_a_class_is_the_mean_over_the_seeds_that_have_one():
    rows = [
        {"encoder": "a", "seed": seed, "iou": {"cat": iou, "dog": None, "cow": 0.5}}
        for seed, iou in enumerate((0.25, None, 0.75))
    ]
    assert over_seeds(rows) == [{"encoder": "a", "iou": {"cat": 0.5, "dog": None, "cow": 0.5}}]
