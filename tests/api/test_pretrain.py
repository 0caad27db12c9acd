"""`sslfast.pretrain`: settings and the encoder as Python has them, and what a call cannot mean."""

import multiprocessing.process

import pytest
import torch

import sslfast
from sslfast.errors import UsageError
from tests.api.runs import SMALL, Network, images


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Makes a run on unlabeled images; no process may be started, which would need a `__main__` guard."""
    with pytest.MonkeyPatch.context() as patch:

        def start(self):
            raise AssertionError(f"{self} was started")

        patch.setattr(multiprocessing.process.BaseProcess, "start", start)
        return sslfast.pretrain(
            "simclr",
            str(tmp_path_factory.mktemp("run") / "named"),
            data=images(),
            encoder={"name": "resnet18", "width": 0.0625, "stem": "cifar"},
            overrides=["train.seed=1", "train.epochs=3"],
            optim={"lr": 0.5, "betas": (0.5, 0.9)},
            **SMALL | {"train.epochs": 1},
        )


def test_settings_of_each_form_are_taken(run):
    recipe = run.recipe
    assert (recipe.encoder.name, recipe.encoder.width, recipe.encoder.stem) == ("resnet18", 0.0625, "cifar")
    assert (recipe.optim.lr, recipe.optim.betas) == (0.5, (0.5, 0.9))
    assert (recipe.train.seed, recipe.train.epochs) == (1, 1)  # the later of two stands


def test_without_labels_an_evaluation_needs_other_images(run):
    with pytest.raises(UsageError, match="has no labels"):
        run.evaluate("knn")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 5}, "unknown key 'epochs'; did you mean 'train.epochs'"),
        ({"train": {"epoch": 5}}, "unknown key 'train.epoch'; did you mean 'train.epochs'"),
        ({"encoder": "resnet19"}, "expected one of resnet18, .*, got 'resnet19'"),
        ({"data": {"size": 32}}, r"got a dict; settings of the section are given as \*\*\{'data.size': 64\}"),
        ({"encoder": Network(), "encoder.width": 2}, "expected encoder.width=1, .* got width=2"),
        ({"encoder": torch.nn.Flatten(1, 2)}, r"expected features \(B, D\) or a map .*, got \(1, 48, 16\)"),
        ({"encoder": torch.nn.Linear(5, 2)}, r"takes no images \(1, 3, 16, 16\): mat1 and mat2"),
    ],
)
def test_what_a_call_cannot_mean_is_refused(tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        sslfast.pretrain("simclr", tmp_path / "run", **{"data": images(), **SMALL, **arguments})
    assert not (tmp_path / "run").exists()
