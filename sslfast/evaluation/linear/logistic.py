"""The linear probe as logistic regression: at a weight decay that training images choose."""

from __future__ import annotations

import logging

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.data.sources.subset import balanced_subset
from sslfast.errors import UsageError
from sslfast.evaluation.accuracy import Predictions, accuracy, class_ranks
from sslfast.evaluation.linear.config import LinearConfig
from sslfast.evaluation.linear.probe import standardize
from sslfast.evaluation.protocol import Row
from sslfast.progress import tqdm

log = logging.getLogger(__name__)

# Ours, beside the mean cross-entropy of standardized features. From strong to weak, as each solution then begins
# the search for the next one near its end.
WEIGHT_DECAYS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
PATIENCE = 3  # weight decays in turn that are worse than the best; weaker ones cost most
HELD_OUT = 0.2  # of the training images, to choose by
MOST_STEPS = 1000  # of L-BFGS, as in CLIP (Radford et al. 2021, appendix A.3)
TOLERANCE = 1e-5  # of the largest entry of the gradient
SCORES = 2**26  # held at once: 256 MiB in fp32


def logistic_regression(
    x: Tensor, y: Tensor, weight_decay: float, num_classes: int, start: Tensor | None = None
) -> Tensor:
    """Fits the linear classifier of least cross-entropy plus weight decay, by L-BFGS.

    It minimizes mean cross-entropy + weight_decay / 2 * ||weights||^2; the biases have no penalty. scikit-learn's
    LogisticRegression is the same at C = 1 / (weight_decay * N). There is no learning rate and no seed.

    Args:
        x: (N, D) fp32 features.
        y: (N,) int64 classes in [0, num_classes), on the same device.
        weight_decay: the penalty; with 0 separable classes have no optimum, and the steps end it.
        num_classes: C.
        start: where the search begins, as this function returns it; None: 0.

    Returns:
        (D + 1, C) fp32: the weights, and the biases below them.
    """
    solution = (x.new_zeros(x.shape[1] + 1, num_classes) if start is None else start.clone()).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [solution],
        max_iter=MOST_STEPS,
        history_size=10,
        tolerance_grad=TOLERANCE,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    rows = max(1, SCORES // num_classes)

    def objective() -> Tensor:
        optimizer.zero_grad()
        total = weight_decay / 2 * solution[:-1].square().sum()
        total.backward()
        total = total.detach()
        for part_x, part_y in zip(x.split(rows), y.split(rows), strict=True):
            loss = F.cross_entropy(scores(part_x, solution), part_y, reduction="sum") / len(x)
            loss.backward()
            total += loss.detach()
        return total

    with torch.enable_grad():
        optimizer.step(objective)
    return solution.detach()


def scores(x: Tensor, solution: Tensor) -> Tensor:
    """Computes the scores (N, C) of features (N, D) by what `logistic_regression` returns."""
    return torch.addmm(solution[-1], x, solution[:-1])


def choose_weight_decay(x: Tensor, y: Tensor, num_classes: int, seed: int) -> float:
    """Finds the weight decay of WEIGHT_DECAYS whose classifier is best on a held-out part of the training images.

    A fifth is held out, balanced over the classes. Of equally accurate ones the strongest is chosen; the search
    ends when PATIENCE in turn are worse than the best.

    Args:
        x: (N, D) fp32 features of training images.
        y: (N,) int64 classes.
        num_classes: number of classes.
        seed: of which images are held out.

    Raises:
        UsageError: a class has a single image, which cannot be both trained on and held out.
    """
    fit, held_out = (torch.from_numpy(part).to(x.device) for part in _parts(y.cpu().numpy(), seed))
    solution, best, best_accuracy, worse = None, WEIGHT_DECAYS[0], -1.0, 0
    for weight_decay in tqdm(WEIGHT_DECAYS, desc="weight decays", leave=False, disable=None):
        solution = logistic_regression(x[fit], y[fit], weight_decay, num_classes, solution)
        right = accuracy(class_ranks(scores(x[held_out], solution), y[held_out]), num_classes)["top1"]
        worse = worse + 1 if right < best_accuracy else 0
        if right > best_accuracy:
            best, best_accuracy = weight_decay, right
        if worse == PATIENCE:
            break
    log.info(
        "weight_decay=%g: the best on %d held-out training images, top-1 %.1f%%",
        best,
        len(held_out),
        100 * best_accuracy,
    )
    return best


def _parts(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions of the images to fit, and of those to choose by."""
    counts = np.bincount(labels)
    if (counts == 1).any():
        raise UsageError(
            "protocol=fast: a class has a single training image, expected 2 or more, one of them to choose "
            "weight_decay by; set weight_decay, or use more images"
        )
    count = max(int(np.count_nonzero(counts)), round(HELD_OUT * len(labels)))
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out = order[balanced_subset(labels[order], len(labels), count)]
    return np.setdiff1d(order, held_out), np.sort(held_out)


def fast_probe(
    train_x: Tensor, train_y: Tensor, val_x: Tensor, val_y: Tensor, *, config: LinearConfig, num_classes: int
) -> Row:
    """Measures the accuracy of logistic regression on frozen features, its weight decay chosen by training images.

    The choice is made on a part of the training images; then all of them are trained on. The held-out images have
    no say in it.

    Args:
        train_x, train_y, val_x, val_y, num_classes: as of `linear_probe`.
        config: with protocol=fast; a `weight_decay` that is no null is taken as it is.

    Returns:
        {"weight_decay"}, as text, and those of `linear_probe`.

    Raises:
        UsageError: as of `choose_weight_decay`.
    """
    if config.standardize:
        train_x, val_x = standardize(train_x, val_x)
    weight_decay = config.weight_decay
    if weight_decay is None:
        weight_decay = choose_weight_decay(train_x, train_y, num_classes, config.seed)
    solution = logistic_regression(train_x, train_y, weight_decay, num_classes)
    train = accuracy(class_ranks(scores(train_x, solution), train_y), num_classes)
    held_out = Predictions(num_classes)
    held_out.add(scores(val_x, solution), val_y)
    return {"weight_decay": f"{weight_decay:g}", "train_top1": train["top1"], **held_out.row()}
