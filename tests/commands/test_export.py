"""`sslfast export`: files that other software loads."""

import json
from pathlib import Path

import pytest
import safetensors
import torch
import torchvision
from safetensors.torch import load_file

from sslfast.commands.export import export_torchvision
from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import UsageError
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run import checkpoint


def save_run(folder: Path, **encoder: object) -> tuple[Path, Encoder]:
    """A checkpoint of an encoder whose every tensor, running statistics too, differs from the initial ones."""
    recipe = from_dict({"method": {"name": "moco_v2"}, "encoder": encoder})
    model = build_encoder(recipe.encoder)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(0.001 * torch.rand(value.shape, generator=generator) if value.is_floating_point() else 5)
    model = model.to(memory_format=torch.channels_last)
    path = folder / "last.pt"
    weights = {f"encoder.{name}": value for name, value in model.state_dict().items()}
    checkpoint.save(path, {"config": to_dict(recipe), "method": weights})
    return path, model.eval()


@pytest.mark.parametrize("norm", ["batch", "split", "sync"])
def test_torchvision_loads_it_strictly_and_computes_the_same(tmp_path: Path, norm: str) -> None:
    path, encoder = save_run(tmp_path, norm=norm)
    out = tmp_path / "resnet18.safetensors"
    assert export_torchvision(path, out) == out

    model = torchvision.models.resnet18()
    model.load_state_dict(load_file(out), strict=True)
    assert not model.fc.weight.any()
    assert not model.fc.bias.any()
    model.fc = torch.nn.Identity()
    model = model.eval().to(memory_format=torch.channels_last)  # the encoder's, for the very same arithmetic
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(model(images), encoder(images))


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path, _ = save_run(tmp_path)
    out = tmp_path / "resnet18.safetensors"
    export_torchvision(path, out)
    with safetensors.safe_open(out, "pt") as file:
        metadata = file.metadata()
    assert metadata["architecture"] == "torchvision.models.resnet18"
    assert "untrained" in metadata["classifier"]
    assert json.loads(metadata["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(metadata["config"])["method"]["name"] == "moco_v2"


@pytest.mark.parametrize("encoder", [{"stem": "cifar"}, {"width": 0.5}, {"colors": "lab"}])
def test_what_torchvision_lacks_is_refused(tmp_path: Path, encoder: dict[str, object]) -> None:
    path, _ = save_run(tmp_path, **encoder)
    with pytest.raises(UsageError, match=r"torchvision has no resnet18 .*sslfast\.load_encoder"):
        export_torchvision(path, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_file_is_only_replaced_when_asked(tmp_path: Path) -> None:
    path, _ = save_run(tmp_path)
    out = tmp_path / "out.safetensors"
    out.write_text("precious")
    with pytest.raises(UsageError, match="exists.*--overwrite"):
        export_torchvision(path, out)
    assert out.read_text() == "precious"
    export_torchvision(path, out, overwrite=True)
    assert "conv1.weight" in load_file(out)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    path, _ = save_run(tmp_path)
    with pytest.raises(UsageError, match="cannot write: No such file or directory"):
        export_torchvision(path, tmp_path / "missing" / "out.safetensors")
