"""The features of a run while it trains: what is logged of them, and the warning where they collapse."""

import math

import pytest

from sslfast.commands.pretrain import pretrain
from sslfast.methods import METHODS
from sslfast.recipes.load import load_recipe
from sslfast.train.verdict import rank_warning
from tests.train.runs import lines, tiny

NAMES = {"feature_std", "feature_rank", "feature_uniformity", "feature_alignment"}
# 128 images of 16 pixels, 4 steps an epoch.
SIMSIAM = [
    *("data.source=shapes", "data.limit=142", "data.size=16", "data.batch_size=32", "encoder.width=0.0625"),
    *("method.dim=16", "method.hidden=16", "method.predictor_hidden=8", "train.epochs=4", "train.knn_every=2"),
    *("optim.lr=2", "train.threads=1"),
]


def test_a_run_without_labels_measures_its_features(tmp_path):
    pretrain(tiny("data.labels=false", "train.epochs=1"), tmp_path / "run")
    evaluated = [line for line in lines(tmp_path / "run") if "feature_rank" in line]
    assert [line["step"] for line in evaluated] == [0, 5]
    assert all(line.keys() == NAMES | {"step", "epoch"} for line in evaluated)
    assert all(1 <= line["feature_rank"] <= 64 for line in evaluated)
    assert "epoch 1: effective rank" in (tmp_path / "run" / "train.log").read_text()
    steps = [line for line in lines(tmp_path / "run") if "loss" in line]
    assert all(line["mi_bound"] == pytest.approx(math.log(65) - line["loss"]) for line in steps)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_simsiam_without_its_stop_gradient_is_warned_of(tmp_path, stop_gradient):
    recipe = load_recipe("simsiam_cifar10", [*SIMSIAM, f"method.stop_gradient={stop_gradient}"])
    pretrain(recipe, tmp_path / "run")
    log = (tmp_path / "run" / "train.log").read_text()
    assert ("WARNING a sign of collapse: at epoch" in log) is not stop_gradient
    assert not any("mi_bound" in line for line in lines(tmp_path / "run"))


def ranks(*values, start=0):
    return [{"step": n, "epoch": n, "feature_rank": value} for n, value in enumerate(values, start)]


def test_a_rank_that_falls_is_said_once():
    message = (
        "a sign of collapse: at epoch 2 the effective rank of the features is 5, and 8 for random initialization: "
        "lower optim.lr, or go back to the method's recipe"
    )
    assert rank_warning(ranks(8.0, 9.0, 5.0), "random initialization") == message
    assert (
        rank_warning(
            [*ranks(8.0, 9.0), {"step": 2, "epoch": 2, "loss": 1.0}, *ranks(5.0, start=2)], "random initialization"
        )
        == message
    )
    assert rank_warning(ranks(8.0, 5.0), "x")
    assert rank_warning(ranks(8.0, 5.0, 4.0), "x") is None
    assert rank_warning(ranks(8.0, 5.0, 7.0), "x") is None
    assert rank_warning(ranks(8.0, 5.0, 7.0, 5.0), "x")


@pytest.mark.parametrize("rows", [[], ranks(8.0), ranks(8.0, 5.0, start=3), ranks(8.0, math.nan)])
def test_nothing_is_said_without_the_rank_of_the_initial_weights(rows):
    assert rank_warning(rows, "x") is None


def test_the_methods_whose_loss_bounds_the_information():
    bounding = {name for name, method in METHODS.items() if method.bounds_information}
    assert bounding == {"cpc_v1", "cpc_v2", "fast_moco", "moco_v1", "moco_v2", "nnclr", "simclr"}
