"""The weights that a recipe names to start from."""

import dataclasses
from pathlib import Path

import pytest
import torch

from sslfast.config import Recipe
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run.backbone import write_backbone
from sslfast.weights.digest import weights_digest
from sslfast.weights.initial import initial_weights
from tests.weights.networks import assert_same, perturbed

STATISTICS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.1]}


def recipe_of(encoder: dict[str, object], **data: object) -> Recipe:
    return from_dict({"method": {"name": "moco_v2"}, "encoder": encoder, "data": data})


def leave(folder: Path, encoder: dict[str, object]) -> tuple[Path, torch.nn.Module]:
    """Writes a run's backbone.safetensors; returns it and the encoder in it."""
    recipe = recipe_of(encoder, **STATISTICS)
    network = build_encoder(recipe.encoder, mean=recipe.data.mean, std=recipe.data.std)
    perturbed(network)
    write_backbone(network, folder / "backbone.safetensors", to_dict(recipe))
    return folder / "backbone.safetensors", network


def test_a_recipe_without_them_starts_from_random_ones(tmp_path):
    assert initial_weights(recipe_of({})) is None
    with pytest.raises(UsageError, match="encoder.weights=random: leave it out, weights are random without it"):
        initial_weights(recipe_of({"weights": "random"}))
    with pytest.raises(UsageError, match="nothing: no such file or folder; expected a run's directory"):
        initial_weights(recipe_of({"weights": "nothing"}))


@pytest.mark.parametrize("norm", ["batch", "split", "sync"])
def test_of_a_run_by_any_normalization_that_has_the_same_tensors(tmp_path, norm):
    path, network = leave(tmp_path, {"width": 0.125, "norm": "batch"})
    recipe = recipe_of({"width": 0.125, "norm": norm, "zero_init_residual": True, "weights": str(path)})
    initial = initial_weights(recipe)
    assert_same(network, initial.tensors)
    assert initial.digest == weights_digest(network)
    assert initial.statistics == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.1))
    build_encoder(recipe.encoder).load_state_dict(initial.tensors)


def test_of_other_software_whose_statistics_are_unknown(tmp_path):
    network = build_encoder(recipe_of({"width": 0.125, "stem": "cifar"}).encoder)
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in perturbed(network).items()}}, tmp_path / "w.pth")
    initial = initial_weights(recipe_of({"width": 0.125, "stem": "cifar", "weights": str(tmp_path / "w.pth")}))
    assert_same(network, initial.tensors)
    assert initial.statistics is None


def test_of_a_network_in_a_file_that_does_not_tell_its_architecture(tmp_path):
    """It is the recipe's, all of its settings."""
    section = {"name": "vit_small", "width": 0.03, "patch_size": 4}
    path, network = tmp_path / "w.pth", build_encoder(recipe_of(section).encoder)
    torch.save(perturbed(network), path)
    assert_same(network, initial_weights(recipe_of({**section, "weights": str(path)})).tensors)
    with pytest.raises(UsageError, match=r"w.pth: its weights do not fit: .*; name its .* by encoder\.name and"):
        initial_weights(recipe_of({**section, "patch_size": 8, "weights": str(path)}))


@pytest.mark.parametrize(
    ("theirs", "ours", "has", "expected"),
    [
        ({}, {"name": "resnet34"}, "encoder.name=resnet18", "encoder.name=resnet34"),
        (
            {"stem": "cifar"},
            {"width": 0.25},
            "encoder.stem=cifar encoder.width=0.125",
            "encoder.stem=imagenet encoder.width=0.25",
        ),
        ({"norm": "layer"}, {"norm": "split"}, "encoder.norm=layer", "encoder.norm=batch"),
        ({"colors": "lab"}, {}, "encoder.colors=lab", "encoder.colors=rgb"),
        ({"colors": "lab"}, {"colors": "ydbdr"}, "encoder.colors=lab", "encoder.colors=ydbdr"),
        ({"name": "vit_small", "width": 0.03}, {}, "encoder.name=vit_small", "encoder.name=resnet18"),
        (
            {"name": "vit_small", "width": 0.03, "patch_size": 4},
            {"name": "vit_small", "width": 0.03},
            "encoder.patch_size=4",
            "encoder.patch_size=16",
        ),
    ],
)
def test_another_architecture_is_refused_by_the_settings_that_differ(tmp_path, theirs, ours, has, expected):
    path, _ = leave(tmp_path, {"width": 0.125, **theirs})
    with pytest.raises(UsageError) as refusal:
        initial_weights(recipe_of({"width": 0.125, **ours, "weights": str(path)}))
    (said,) = refusal.value.args
    assert said.startswith(f"encoder.weights={path}: are of {has}")
    assert expected in said.partition("and the recipe has ")[2]


def test_colors_are_undone_by_the_normalization_of_the_run_that_starts(tmp_path):
    section = {"colors": "lab", "width": 0.125}
    path, network = leave(tmp_path, section)
    recipe = recipe_of({**section, "weights": str(path)})
    encoder = build_encoder(recipe.encoder, mean=recipe.data.mean, std=recipe.data.std)
    encoder.load_state_dict(initial_weights(recipe).tensors)
    assert torch.equal(encoder.mean, torch.tensor(recipe.data.mean))
    assert torch.equal(encoder.std, torch.tensor(recipe.data.std))
    assert_same(encoder.parts, network.parts.state_dict())


def test_the_digest_tells_weights_apart():
    networks = [build_encoder(dataclasses.replace(recipe_of({"width": 0.125}).encoder)) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    assert weights_digest(networks[0]) == weights_digest(networks[1])
    with torch.no_grad():
        networks[1].bn1.bias[0] += 1
    assert weights_digest(networks[0]) != weights_digest(networks[1])
