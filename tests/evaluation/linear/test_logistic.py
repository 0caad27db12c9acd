"""Logistic regression beside scikit-learn's, and the weight decay that it is done at."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sslfast.config.validation import validate
from sslfast.errors import UsageError
from sslfast.evaluation.linear import logistic as module
from sslfast.evaluation.linear.config import LinearConfig
from sslfast.evaluation.linear.logistic import (
    WEIGHT_DECAYS,
    choose_weight_decay,
    fast_probe,
    logistic_regression,
    scores,
)
from sslfast.evaluation.linear.probe import linear_probe, standardize

CLASSES = 5
FAST = LinearConfig(protocol="fast")


def overlapping(n: int, seed: int, dim: int = 30) -> tuple[Tensor, Tensor]:
    """Draws features of which no linear layer tells all classes, and most of which are noise, of unlike scales."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % CLASSES
    centers = torch.randn(CLASSES, dim, generator=torch.Generator().manual_seed(99))
    centers[:, 8:] = 0
    x = centers[y] + 1.5 * torch.randn(n, dim, generator=generator)
    return x * torch.logspace(-1, 1, dim) + 3, y


def scikit_learns(weight_decay: float, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> float:
    """Computes the accuracy of scikit-learn's logistic regression, regularized alike, on standardized features."""
    x, val_x = standardize(train[0], val[0])
    model = LogisticRegression(C=1 / (weight_decay * len(x)), max_iter=5000, tol=1e-6).fit(
        x.numpy(), train[1].numpy()
    )
    return float(np.mean(model.predict(val_x.numpy()) == val[1].numpy()))


@pytest.mark.parametrize("weight_decay", [1.0, 0.1, 1e-2, 1e-3, 1e-5])
def test_fast_is_scikit_learns_logistic_regression(weight_decay: float) -> None:
    train, val = overlapping(600, 0), overlapping(1000, 1)
    config = LinearConfig(protocol="fast", weight_decay=weight_decay)
    row = fast_probe(*train, *val, config=config, num_classes=CLASSES)
    assert row["top1"] == pytest.approx(scikit_learns(weight_decay, train, val), abs=0.005)
    assert 0.4 < row["top1"] < 0.95


@pytest.mark.parametrize("weight_decay", [0.1, 1e-2])
def test_the_probe_by_steps_comes_to_the_same(weight_decay: float) -> None:
    train, val = overlapping(600, 0), overlapping(1000, 1)
    config = LinearConfig(weight_decay=weight_decay, epochs=600, batch_size=600, lr=0.2)
    row = linear_probe(*train, *val, config=config, num_classes=CLASSES)
    assert row["top1"] == pytest.approx(scikit_learns(weight_decay, train, val), abs=0.005)


def test_the_solution_is_the_optimum_in_parts_and_from_any_start(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (
        standardize(*(part for part, _ in (overlapping(300, 0), overlapping(300, 0))))[0],
        overlapping(300, 0)[1],
    )
    whole = logistic_regression(x, y, 1e-2, CLASSES)
    monkeypatch.setattr(module, "SCORES", 70 * CLASSES)
    parts = logistic_regression(x, y, 1e-2, CLASSES, torch.randn(31, CLASSES))
    torch.testing.assert_close(parts[:-1], whole[:-1], atol=2e-3, rtol=0)
    model = LogisticRegression(C=1 / (1e-2 * len(x)), max_iter=5000, tol=1e-6).fit(x.numpy(), y.numpy())
    torch.testing.assert_close(whole[:-1].T, torch.from_numpy(model.coef_).float(), atol=2e-3, rtol=0)


def test_the_chosen_weight_decay_is_the_best_on_the_part_to_choose_by() -> None:
    x, y = overlapping(200, 0, dim=150)
    x, _ = standardize(x, x)
    fit, held_out = (torch.from_numpy(part) for part in module._parts(y.numpy(), 0))

    def top1(weight_decay: float) -> float:
        solution = logistic_regression(x[fit], y[fit], weight_decay, CLASSES)
        return (scores(x[held_out], solution).argmax(1) == y[held_out]).double().mean().item()

    accuracies = {weight_decay: top1(weight_decay) for weight_decay in WEIGHT_DECAYS}
    assert len(set(accuracies.values())) > 2
    best = max(accuracies.values())
    assert choose_weight_decay(x, y, CLASSES, 0) == next(w for w in WEIGHT_DECAYS if accuracies[w] == best)


def test_labels_of_the_held_out_images_have_no_say() -> None:
    train, (val_x, val_y) = overlapping(200, 0), overlapping(100, 1)
    row = fast_probe(*train, val_x, val_y, config=FAST, num_classes=CLASSES)
    other = fast_probe(*train, val_x, val_y.flip(0), config=FAST, num_classes=CLASSES)
    assert row["top1"] != other["top1"]
    assert {key: row[key] for key in ("weight_decay", "train_top1")} == {
        key: other[key] for key in ("weight_decay", "train_top1")
    }


def test_it_trains_on_all_images_at_the_weight_decay_that_it_names() -> None:
    train, val = overlapping(200, 0), overlapping(500, 1)
    row = fast_probe(*train, *val, config=FAST, num_classes=CLASSES)
    x, _ = standardize(train[0], val[0])
    chosen = choose_weight_decay(x, train[1], CLASSES, 0)
    assert row["weight_decay"] == f"{chosen:g}"
    config = LinearConfig(protocol="fast", weight_decay=chosen)
    assert fast_probe(*train, *val, config=config, num_classes=CLASSES) == row


def test_what_is_held_out_is_balanced_and_of_the_seed() -> None:
    labels = np.arange(100) % CLASSES
    fit, held_out = module._parts(labels, 0)
    assert np.array_equal(np.sort(np.concatenate([fit, held_out])), np.arange(100))
    assert np.bincount(labels[held_out]).tolist() == [4] * CLASSES
    assert not np.array_equal(held_out, module._parts(labels, 1)[1])
    few = np.array([0, 0, 2, 2])
    assert sorted(few[module._parts(few, 0)[1]]) == [0, 2]


def test_a_class_of_a_single_image_cannot_choose() -> None:
    x, y = overlapping(11, 0)
    with pytest.raises(UsageError, match="protocol=fast: a class has a single training image, expected 2 or more"):
        fast_probe(x[:7], y[:7], x, y, config=FAST, num_classes=CLASSES)
    given = LinearConfig(protocol="fast", weight_decay=0.1)
    assert fast_probe(x[:7], y[:7], x, y, config=given, num_classes=CLASSES)["weight_decay"] == "0.1"


@pytest.mark.parametrize(
    "setting", [{"lr": 0.1}, {"epochs": 3}, {"form": "sgd"}, {"batch_size": 8}, {"momentum": 0.5}]
)
def test_settings_of_steps_are_refused(setting: dict[str, object]) -> None:
    ((key, value),) = setting.items()
    with pytest.raises(UsageError, match=f"{key}={value}: protocol=fast is solved to its optimum and has no such"):
        validate(LinearConfig, {"protocol": "fast", **setting}, "evaluate linear")
