"""`pretrain` from Python; what a run leaves and how it goes on is in tests/train/test_trainer.py."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sslfast.commands.pretrain import pretrain
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import read_recipe
from sslfast.run.lock import locked
from sslfast.train.trainer import Trainer

TINY = [
    "data.limit=40",
    "data.batch_size=16",
    "encoder.width=0.125",
    "optim.warmup_epochs=0",
    "train.epochs=1",
    "train.knn_every=0",
    "train.threads=1",
]


def test_a_recipe_is_named_and_changed(tmp_path: Path) -> None:
    pretrain("moco_v2_shapes", str(tmp_path / "run"), overrides=TINY)
    assert read_recipe(tmp_path / "run" / "config.yaml") == load_recipe("moco_v2_shapes", TINY)
    assert (tmp_path / "run" / "backbone.safetensors").exists()


def test_a_recipe_that_is_loaded_runs_as_it_is_named(tmp_path: Path) -> None:
    recipe = load_recipe("moco_v2_shapes", TINY)
    pretrain(recipe, tmp_path / "run")
    pretrain("moco_v2_shapes", tmp_path / "twin", overrides=TINY)
    weights, twins = (load_file(tmp_path / name / "backbone.safetensors") for name in ("run", "twin"))
    assert weights.keys() == twins.keys()
    assert all(torch.equal(weight, twins[name]) for name, weight in weights.items())


@pytest.mark.parametrize("kind", [str, Path])
def test_data_takes_the_place_of_the_recipes(tmp_path: Path, kind: type) -> None:
    with pytest.raises(UsageError, match=r"no/such: #images"):
        pretrain("moco_v2_shapes", tmp_path / "run", data=kind("no/such: #images"), overrides=TINY)
    assert not (tmp_path / "run").exists()


def test_a_wrong_setting_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'epochs'"):
        pretrain("moco_v2_shapes", tmp_path / "run", overrides=["train.epoch=1"])
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_under_way_is_neither_joined_nor_replaced(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(UsageError, match="runs in it"):
                pretrain("moco_v2_shapes", tmp_path / "run", overrides=TINY, **options)
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]


def test_a_run_is_locked_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def under_way(self: Trainer, interrupt: object) -> None:
        with pytest.raises(UsageError, match="runs in it"), locked(tmp_path / "run"):
            pass
        self.finished = True

    monkeypatch.setattr(Trainer, "fit", under_way)
    pretrain("moco_v2_shapes", tmp_path / "run", overrides=TINY)
    with locked(tmp_path / "run"):
        pass
