"""Supervised training: the loss against its formula, the number of classes, and what a run leaves of the head."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torchvision.utils import save_image

from sslfast.commands.pretrain import pretrain
from sslfast.config import DataConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.load import load_recipe
from sslfast.run.checkpoint import load
from sslfast.run.directory import RunDirectory, read_recipe
from tests.data.photographs import photograph
from tests.methods.harness import SIDE, assert_equals_transcription, build_method, tiny_batch
from tests.train.runs import assert_same, signal_after

DATA = DataConfig(size=SIDE, batch_size=8, views=[ViewConfig()])
FOLDER = [
    *("data.size=16", "data.batch_size=8", "data.val_fraction=0", "data.pipeline=resident"),
    *("encoder.width=0.125", "train.epochs=2", "train.log_every=1", "train.knn_every=0", "train.threads=1"),
]


def build():
    return build_method("supervised", data=DATA, num_classes=4)


def transcribed(method, data):
    """Averages the negative logarithm of the softmax of the right class, image by image."""
    logits = method.head(method.encoder(data.views[0]))
    losses = [-(row[label] - row.exp().sum().log()) for row, label in zip(logits, data.label, strict=True)]
    return torch.stack(losses).mean()


def test_the_loss_is_the_cross_entropy_of_a_linear_layer():
    method = build()
    assert isinstance(method.head, torch.nn.Linear)
    assert_equals_transcription(method, tiny_batch(views=1), transcribed)


def test_accuracy_is_how_often_the_right_class_comes_first():
    method, data = build(), tiny_batch(views=1)
    loss, values, _ = method.loss(data)
    logits = method.head(method.encoder(data.views[0]))
    assert values["accuracy"] == (logits.argmax(1) == data.label).float().mean()
    torch.testing.assert_close(loss, F.cross_entropy(logits, data.label))
    wrong = dataclasses.replace(data, label=logits.argmin(1))
    assert method.loss(wrong)[1]["accuracy"] == 0


@pytest.fixture
def folder(tmp_path):
    """Writes labeled images of three classes."""
    for number in range(24):
        path = tmp_path / "images" / "abc"[number % 3] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(number, 16, 16).save(path)
    return tmp_path / "images"


def test_the_images_tell_the_number_of_classes_which_the_run_keeps(folder, tmp_path):
    recipe = load_recipe("supervised_cifar10", FOLDER, data=folder)
    assert recipe.method.num_classes is None
    pretrain(recipe, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    stored, state = read_recipe(run.config), load(run.checkpoints / "last.pt")
    assert stored.method.num_classes == state["config"]["method"]["num_classes"] == 3
    assert state["method"]["head.weight"].shape[0] == 3
    assert METHODS["supervised"].chance_loss(stored, 24) == math.log(3)
    assert not [key for key in load_file(run.backbone) if "head" in key]
    pretrain(recipe, tmp_path / "run", resume=True)  # the number left open, as at the start


@pytest.mark.parametrize("again", ["by its directory", "by the recipe"])
def test_a_run_goes_on_with_the_classes_that_it_was_started_with(folder, tmp_path, caplog, monkeypatch, again):
    pretrain("supervised_cifar10", tmp_path / "whole", data=folder, overrides=FOLDER)
    with monkeypatch.context() as patch:
        signal_after(patch, 2)
        with pytest.raises(SystemExit):
            pretrain("supervised_cifar10", tmp_path / "parts", data=folder, overrides=FOLDER)
    caplog.clear()
    if again == "by its directory":
        pretrain(None, tmp_path / "parts", resume=True)
    else:
        pretrain("supervised_cifar10", tmp_path / "parts", data=folder, overrides=FOLDER, resume=True)
    assert "has others of" not in caplog.text
    whole, parts = (load(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "parts"))
    assert_same(whole, parts)


def test_another_number_of_classes_is_refused(folder, tmp_path):
    recipe = load_recipe("supervised_cifar10", [*FOLDER, "method.num_classes=4"], data=folder)
    with pytest.raises(UsageError, match=r"method\.num_classes=4: expected that of .*images, 3; leave it out"):
        pretrain(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_images_without_labels_are_refused(tmp_path):
    for i in range(8):
        save_image(torch.full((3, 16, 16), i / 8), tmp_path / f"{i}.png")
    with pytest.raises(UsageError, match="supervised learns from labels, and these images have none"):
        pretrain(load_recipe("supervised_cifar10", FOLDER, data=tmp_path), tmp_path / "run")
