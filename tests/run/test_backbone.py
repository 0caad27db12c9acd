"""Backbones: as a run begins with them, as files, and out of checkpoints."""

import json
import os
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.errors import TrainingError, UsageError
from sslfast.recipes.load import from_dict, load_recipe, to_dict
from sslfast.run.backbone import load_encoder, random_encoder, write_backbone, write_safetensors
from sslfast.run.checkpoint import Checkpoints, load, save


def test_the_random_encoder_is_the_runs_own_beginning() -> None:
    recipe = load_recipe("moco_v2_shapes", ["encoder.width=0.125", "train.seed=3"])
    torch.manual_seed(recipe.train.seed)
    initial = build_encoder(recipe.encoder).state_dict()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    baseline = random_encoder(recipe.encoder, recipe.data, recipe.train.seed).state_dict()
    assert all(torch.equal(baseline[name], initial[name]) for name in initial)
    assert torch.equal(torch.rand(3), expected)  # the caller's generator went on undisturbed


def test_backbone_comes_back(tmp_path: Path) -> None:
    encoder = build_encoder(EncoderConfig(stem="cifar", width=0.25)).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # running statistics, too, differ from the initial ones
        for value in encoder.state_dict().values():
            value.add_(0.001 * torch.rand(value.shape, generator=generator) if value.is_floating_point() else 5)
    config = {"encoder": {"stem": "cifar", "width": 0.25}}
    path = tmp_path / "backbone.safetensors"
    path.write_text("an earlier one")
    write_backbone(encoder, path, config)
    with safetensors.safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["config"])["encoder"]
    twin = build_encoder(EncoderConfig(**described))
    twin.load_state_dict(load_file(path))
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in twin.state_dict().items())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backbone.safetensors"]


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    """safetensors' own order of the metadata differs from call to call."""
    weights = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.bfloat16)}
    metadata = {f"key {n}": "ü" * n for n in range(5)}
    files = [tmp_path / f"{n}.safetensors" for n in range(8)]
    for path in files:
        write_safetensors(path, weights, metadata)
    assert len({path.read_bytes() for path in files}) == 1
    with safetensors.safe_open(files[0], "pt") as file:
        assert file.metadata() == {"format": "pt", **metadata}
    back = load_file(files[0])
    assert all(torch.equal(back[name], weight) for name, weight in weights.items())


def test_a_failed_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build_encoder(EncoderConfig(stem="cifar", width=0.125))
    path = tmp_path / "backbone.safetensors"
    path.write_text("an earlier one")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="No space left"):
        write_backbone(encoder, path, {})
    assert path.read_text() == "an earlier one"
    assert [p.name for p in tmp_path.iterdir()] == ["backbone.safetensors"]


@pytest.fixture
def run(tmp_path):
    """A run's directory and the encoder in its checkpoint."""
    config = from_dict({"method": {"name": "moco_v2"}, "encoder": {"width": 0.125, "stem": "cifar"}})
    encoder = build_encoder(config.encoder)
    method = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    Checkpoints(tmp_path / "run" / "checkpoints", keep=1).save(
        7, {"config": to_dict(config), "method": {**method, "head.weight": torch.zeros(2)}}
    )
    return tmp_path / "run", encoder, config


@pytest.mark.parametrize("what", ["", "checkpoints/last.pt", "checkpoints/step-00000007.pt"])
def test_load_encoder(run, what):
    folder, expected, expected_config = run
    encoder, config = load_encoder(folder / what)
    assert config == expected_config
    assert not encoder.training
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(encoder(images), expected.eval()(images))


def test_load_encoder_refuses_a_folder_without_checkpoint(run):
    folder, _, _ = run
    with pytest.raises(UsageError, match="holds no checkpoint"):
        load_encoder(folder.parent)
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="run: holds no checkpoint"):
        load_encoder(folder)


def test_load_encoder_refuses_weights_that_do_not_fit(run):
    folder, _, _ = run
    content = load(folder / "checkpoints" / "last.pt")
    del content["method"]["encoder.conv1.weight"]
    save(folder / "other.pt", content)
    with pytest.raises(UsageError, match=r"other\.pt: its weights do not fit its encoder 'resnet18'"):
        load_encoder(folder / "other.pt")


def test_load_encoder_refuses_a_checkpoint_of_something_else(tmp_path):
    save(tmp_path / "a.pt", {"step": 1})
    with pytest.raises(UsageError, match="without an encoder"):
        load_encoder(tmp_path / "a.pt")
