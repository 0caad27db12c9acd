"""Backbones: as a run begins with them, and as files."""

import json
import os
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.errors import TrainingError
from sslfast.recipes.load import load_recipe
from sslfast.run.backbone import random_encoder, write_backbone, write_safetensors


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
