"""Encoders by name: what a run leaves, random weights, and names of nothing."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run.backbone import write_backbone
from sslfast.run.checkpoint import Checkpoints, load, save
from sslfast.weights import find_encoder, load_encoder
from sslfast.weights.method import load_state
from tests.weights.networks import assert_same, perturbed


@pytest.fixture
def run(tmp_path: Path):
    """Makes a run's directory, the state of its encoder, and its recipe."""
    encoder = {"width": 0.125, "stem": "cifar"}
    data = {"size": 16, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.1]}
    train = {"precision": "fp32"}  # as a run's is settled
    recipe = from_dict({"method": {"name": "moco_v2"}, "encoder": encoder, "data": data, "train": train})
    network = build_encoder(recipe.encoder)
    weights = perturbed(network)
    method = {f"encoder.{name}": value for name, value in weights.items()}
    state = {"config": to_dict(recipe), "method": {**method, "head.weight": torch.zeros(2)}, "step": 7}
    folder = tmp_path / "run"
    Checkpoints(folder / "checkpoints", keep=1).save(7, state)
    write_backbone(network, folder / "backbone.safetensors", to_dict(recipe))
    return folder, weights, recipe


@pytest.mark.parametrize(
    "what", ["", "checkpoints/last.pt", "checkpoints/step-00000007.pt", "backbone.safetensors"]
)
def test_all_that_a_run_leaves_is_its_encoder(run, what):
    folder, weights, recipe = run
    encoder = load_encoder(folder / what)
    assert_same(encoder, weights)
    assert not encoder.training
    assert (encoder.feature_dim, encoder.side) == (64, 16)
    assert torch.equal(encoder.mean, torch.tensor(recipe.data.mean))
    assert torch.equal(encoder.std, torch.tensor(recipe.data.std))
    assert encoder.state_dict().keys() == weights.keys()  # mean and std are not among its weights
    found = find_encoder(folder / what)
    assert found.recipe == recipe
    assert found.step == (None if what.endswith("safetensors") else 7)
    initial = found.untrained()
    assert not torch.equal(initial.conv1.weight, encoder.conv1.weight)
    assert torch.equal(initial.conv1.weight, found.untrained().conv1.weight)


@pytest.mark.parametrize("what", ["", "checkpoints/last.pt", "backbone.safetensors"])
def test_an_architecture_for_what_has_one_is_refused(run, what):
    folder, *_ = run
    with pytest.raises(UsageError, match="--architecture vit_small: .*run.* has one already; leave it out"):
        load_encoder(folder / what, architecture="vit_small")
    with pytest.raises(UsageError, match="--partial: is for a state dict of other software, and .*run.* is none"):
        load_encoder(folder / what, partial=True)


def test_an_encoder_of_colors_keeps_the_normalization_in_its_weights(tmp_path):
    recipe = from_dict({"method": {"name": "cmc"}, "encoder": {"colors": "lab", "width": 0.25}})
    encoder = build_encoder(recipe.encoder, mean=recipe.data.mean, std=recipe.data.std)
    write_backbone(encoder, tmp_path / "b.safetensors", to_dict(recipe))
    loaded = load_encoder(tmp_path / "b.safetensors")
    assert torch.equal(loaded.mean, torch.tensor(recipe.data.mean))
    assert loaded.side == recipe.data.size


def save_method(folder, name):
    """Makes a run of a method, each tensor off its initial value; returns its directory and the method."""
    encoder, data, train = {"width": 0.125, "stem": "cifar"}, {"size": 16}, {"precision": "fp32"}
    settings = {"name": name, "hidden": 8, "dim": 4}
    recipe = from_dict({"method": settings, "encoder": encoder, "data": data, "train": train})
    method = METHODS[name](recipe, build_encoder(recipe.encoder, side=16), 64)
    state = {"config": to_dict(recipe), "method": perturbed(method), "images": 64, "step": 7}
    Checkpoints(folder / "checkpoints", keep=1).save(7, state)
    write_backbone(method.encoder, folder / "backbone.safetensors", to_dict(recipe))
    return folder, method


@pytest.mark.parametrize("what", ["", "/checkpoints/last.pt"])
def test_the_moving_average_of_an_encoder(tmp_path, what):
    folder, method = save_method(tmp_path / "run", "byol")
    average = method.target.module[0].state_dict()
    found = find_encoder(f"{folder}{what}@momentum")
    assert_same(found.encoder, average)
    assert (found.step, found.recipe.method.name, found.name) == (7, "byol", f"{folder}{what}@momentum")
    assert not torch.equal(average["conv1.weight"], load_encoder(folder).conv1.weight)
    assert all(weight.requires_grad for weight in found.encoder.parameters())  # as finetune trains them


def test_a_moving_average_that_is_not_there(tmp_path):
    folder, _ = save_method(tmp_path / "run", "simclr")
    with pytest.raises(UsageError, match="run: simclr, .* keeps no moving average of the encoder; leave out @mom"):
        load_encoder(f"{folder}@momentum")
    with pytest.raises(UsageError, match="backbone.safetensors has one encoder alone; give a run's directory"):
        load_encoder(f"{folder}/backbone.safetensors@momentum")
    with pytest.raises(UsageError, match="nothing: no such file or folder"):
        load_encoder("nothing@momentum")
    with pytest.raises(UsageError, match="--partial: is for a state dict of other software"):
        load_encoder(f"{folder}@momentum", partial=True)


def test_random_weights_are_the_same_every_time():
    encoder = load_encoder("random")
    assert torch.equal(encoder.conv1.weight, load_encoder("random").conv1.weight)
    assert load_encoder("random", architecture="resnet50").feature_dim == 2048
    with pytest.raises(UsageError, match="encoder.name"):
        load_encoder("random", architecture="resnet5")
    with pytest.raises(UsageError, match="--partial: .* random is none; leave it out"):
        load_encoder("random", partial=True)


def test_an_existing_path_wins_over_a_name(run, monkeypatch):
    folder, weights, _ = run
    folder.rename(folder.parent / "random")
    monkeypatch.chdir(folder.parent)
    assert_same(load_encoder("random"), weights)


def test_a_name_of_nothing_is_refused_with_what_could_be_meant():
    with pytest.raises(UsageError, match="no such file or folder; expected a run's directory, .*timm/<model>"):
        load_encoder("nothing")


def test_a_run_without_a_checkpoint_is_refused(run):
    folder, _, _ = run
    with pytest.raises(UsageError, match="holds no checkpoint"):
        load_encoder(folder.parent)
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="run: holds no checkpoint"):
        load_encoder(folder)


def test_weights_that_do_not_fit_their_recipe_are_refused(run):
    folder, _, _ = run
    content = load(folder / "checkpoints" / "last.pt")
    del content["method"]["encoder.conv1.weight"]
    save(folder / "other.pt", content)
    with pytest.raises(UsageError, match=r"other\.pt: its weights do not fit its encoder 'resnet18'"):
        load_encoder(folder / "other.pt")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("conv1.weight", torch.nan, r"conv1\.weight: holds numbers that are not finite"),
        ("bn1.running_var", -1.0, r"bn1\.running_var: expected 0 to inf, got -1\.0"),
    ],
)
def test_weights_that_cannot_be_are_refused(run, key, value, message):
    folder, _, _ = run
    content = load(folder / "checkpoints" / "last.pt")
    content["method"][f"encoder.{key}"].fill_(value)
    save(folder / "other.pt", content)
    with pytest.raises(UsageError, match=rf"other\.pt: its weights do not fit .*\(encoder\.{message}"):
        load_encoder(folder / "other.pt")


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("config", [1], "config: expected dict, got a list"),
        ("method", None, "method: expected dict, got None"),
        ("step", "x", "step: expected int, got 'x'"),
        ("step", -1, "step: expected a count, got -1"),
    ],
)
def test_parts_of_a_checkpoint_of_another_type_are_refused(run, part, value, message):
    folder, _, _ = run
    save(folder / "other.pt", {**load(folder / "checkpoints" / "last.pt"), part: value})
    with pytest.raises(UsageError, match=rf"other\.pt: {message}"):
        load_encoder(folder / "other.pt")


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    save(tmp_path / "a.pt", {"step": 1})
    with pytest.raises(UsageError, match="without an encoder"):
        load_state(tmp_path / "a.pt")


def test_a_backbones_recipe_that_is_damaged_is_refused(tmp_path):
    weights = build_encoder(from_dict({"method": {"name": "moco_v2"}}).encoder).state_dict()
    contents = {name: value.contiguous() for name, value in weights.items()}
    for config, message in (("no JSON", "no file of weights"), (json.dumps({"a": 1}), "unknown key 'a'")):
        save_file(contents, tmp_path / "b.safetensors", {"config": config})
        with pytest.raises(UsageError, match=message):
            load_encoder(tmp_path / "b.safetensors")
