"""`pretrain` from Python; what a run leaves and how it goes on is in tests/train/test_trainer.py."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sslfast.commands.evaluate import evaluate
from sslfast.commands.pretrain import pretrain
from sslfast.commands.report import write_report
from sslfast.data import open_source, split
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from sslfast.recipes.load import load_recipe, with_precision
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
    assert read_recipe(tmp_path / "run" / "config.yaml") == with_precision(load_recipe("moco_v2_shapes", TINY))
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
    with pytest.raises(UsageError, match="did you mean 'train.epochs'"):
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


def test_several_folders_moved_and_resumed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """To the same bits as without; the report and an evaluation take the run's images from both."""
    sources = [str(tmp_path / name) for name in ("first", "second")]
    for number, (folder, names) in enumerate(zip(sources, ("ab", "bc"), strict=True)):
        for name in names:
            (Path(folder) / name).mkdir(parents=True)
            for i in range(12):
                Image.new("RGB", (16, 16), (20 * i, 50 * number, ord(name))).save(f"{folder}/{name}/{i}.png")
    settings = [*TINY, "data.limit=null", "data.size=16", "train.epochs=2"]
    pretrain("moco_v2_shapes", tmp_path / "whole", data=sources, overrides=settings)
    assert read_recipe(tmp_path / "whole" / "config.yaml").data.source == sources
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    (tmp_path / "run" / "backbone.safetensors").unlink()
    (tmp_path / "run" / "checkpoints" / "last.pt").unlink()
    max((tmp_path / "run" / "checkpoints").glob("*.pt")).unlink()  # the last epoch's
    moved = [str(Path(source).rename(f"{source} moved")) for source in sources]
    with pytest.raises(UsageError, match="it was started on 2 folders or archives, and these are 1"):
        pretrain(None, tmp_path / "run", data=moved[0], resume=True)
    pretrain(None, tmp_path / "run", data=moved, resume=True)
    weights, resumed = (load_file(tmp_path / name / "backbone.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(weight, resumed[name]) for name, weight in weights.items())
    evaluation = evaluate("knn", tmp_path / "run", moved, random_baseline=False)
    assert (evaluation.own_split, evaluation.train_images + evaluation.val_images, evaluation.classes) == (
        True,
        48,
        3,
    )
    assert (
        Evaluation.load(next((tmp_path / "run" / "evaluation").glob("knn-first_moved_second_moved-*")))
        == evaluation
    )
    assert "first moved + " in evaluation.caption()
    assert "first moved + " in write_report(tmp_path / "run").read_text()


def test_without_labels_none_is_held_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        pretrain("moco_v2_shapes", tmp_path / "run", overrides=[*TINY, "data.labels=false"])
    assert "data: shapes, 40 images, no labels, 0 held out" in caplog.text
    evaluation = evaluate("knn", tmp_path / "run", "shapes", random_baseline=False)
    assert (evaluation.own_split, evaluation.train_images, evaluation.val_images) == (False, 36, 4)


def test_a_class_that_is_held_out_whole_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in map(str, range(20)):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), (int(name), 0, 0)).save(tmp_path / "images" / name / "only.png")
    settings = [*TINY, "data.size=16", "data.val_fraction=0.1"]
    pretrain("moco_v2_shapes", tmp_path / "run", data=tmp_path / "images", overrides=settings)
    held_out = [str(path.parent.name) for path in split(open_source(str(tmp_path / "images")), 0.1)[1].paths or []]
    assert (
        f"images: all images of 2 classes are held out, {', '.join(held_out)}; data.val_fraction=0" in caplog.text
    )
