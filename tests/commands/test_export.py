"""`sslfast export`: files that other software loads."""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import safetensors
import torch
import torchvision
import yaml
from safetensors.torch import load_file

from sslfast.cli import export as cli
from sslfast.cli import main
from sslfast.commands.export import FORMATS, export
from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from sslfast.methods import METHODS
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run import checkpoint
from sslfast.weights import load_encoder
from sslfast.weights.digest import weights_digest


def images(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def save_run(folder: Path, size: int = 224, **encoder: object) -> tuple[Path, Encoder]:
    """Saves a checkpoint of an encoder whose tensors, running statistics too, differ from the initial ones."""
    recipe = from_dict({"method": {"name": "moco_v2"}, "encoder": encoder, "data": {"size": size}})
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


@pytest.mark.parametrize(
    ("name", "norm"), [("resnet18", "batch"), ("resnet18", "split"), ("resnet18", "sync"), ("resnet50", "batch")]
)
def test_torchvision_loads_it_strictly_and_computes_the_same(tmp_path: Path, name: str, norm: str) -> None:
    path, encoder = save_run(tmp_path, name=name, norm=norm)
    out = tmp_path / "out.safetensors"
    assert export(path, out, "torchvision") == out

    model = torchvision.models.get_model(name)
    model.load_state_dict(load_file(out), strict=True)
    assert not model.fc.weight.any()
    assert not model.fc.bias.any()
    model.fc = torch.nn.Identity()
    model = model.eval().to(memory_format=torch.channels_last)  # the encoder's, for the very same arithmetic
    with torch.no_grad():
        assert torch.equal(model(images()), encoder(images()))


def test_the_moving_average_of_an_encoder_is_exported_on_request(tmp_path: Path) -> None:
    settings = {"name": "byol", "hidden": 8, "dim": 4}
    recipe = from_dict({"method": settings, "data": {"size": 64}, "train": {"precision": "fp32"}})
    method = METHODS["byol"](recipe, build_encoder(recipe.encoder, side=64), 64)
    with torch.no_grad():
        for value in method.target.module.parameters():
            value.add_(0.01)
    path = tmp_path / "last.pt"
    state = {"config": to_dict(recipe), "method": method.state_dict(), "images": 64}
    checkpoint.save(path, state)
    command = ["export", f"{path}@momentum", "--format", "torchvision", "--out", str(tmp_path / "a.safetensors")]
    assert main(command) == 0
    model = torchvision.models.resnet18()
    model.load_state_dict(load_file(tmp_path / "a.safetensors"), strict=True)
    model.fc = torch.nn.Identity()
    average = method.target.module[0].eval()
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images()), average(images()))
        assert not torch.allclose(model(images()), method.encoder.eval()(images()))


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    path, _ = save_run(tmp_path)
    out = tmp_path / "resnet18.safetensors"
    export(path, out, "torchvision")
    with safetensors.safe_open(out, "pt") as file:
        metadata = file.metadata()
    assert metadata["architecture"] == "torchvision.models.resnet18"
    assert "untrained" in metadata["classifier"]
    assert json.loads(metadata["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(metadata["recipe"])["method"]["name"] == "moco_v2"


@pytest.mark.parametrize("encoder", [{"stem": "cifar"}, {"width": 0.5}, {"colors": "lab"}])
def test_what_torchvision_lacks_is_refused(tmp_path: Path, encoder: dict[str, object]) -> None:
    path, _ = save_run(tmp_path, **encoder)
    with pytest.raises(UsageError, match=r"torchvision has no resnet18 .*sslfast\.load_encoder"):
        export(path, tmp_path / "out.safetensors", "torchvision")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_file_is_only_replaced_when_asked(tmp_path: Path) -> None:
    path, _ = save_run(tmp_path)
    out = tmp_path / "out.safetensors"
    out.write_text("precious")
    with pytest.raises(UsageError, match="exists.*--overwrite"):
        export(path, out, "torchvision")
    assert out.read_text() == "precious"
    export(path, out, "torchvision", overwrite=True)
    assert "conv1.weight" in load_file(out)


@pytest.mark.parametrize(
    ("format", "name"), [("torchvision", "a.safetensors"), ("hf", "a"), ("detectron2", "a.pth")]
)
def test_a_signal_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, name: str
) -> None:
    path, _ = save_run(tmp_path)
    out = tmp_path / "out" / name
    out.parent.mkdir()
    command = ["export", str(path), "--format", format, "--out", str(out)]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: os.kill(os.getpid(), signal.SIGTERM))
        assert main(command) == 143
    assert not list(out.parent.iterdir())
    assert main(command) == 0
    assert [file.name for file in out.parent.iterdir()] == [name]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    path, _ = save_run(tmp_path)
    with pytest.raises(UsageError, match="cannot write: No such file or directory"):
        export(path, tmp_path / "missing" / "out.safetensors", "torchvision")


def test_a_runs_file_can_be_read_again(tmp_path: Path) -> None:
    path, encoder = save_run(tmp_path)
    for format in ("torchvision", "timm"):
        out = export(path, tmp_path / f"{format}.safetensors", format)
        loaded = load_encoder(out).state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in encoder.state_dict().items())


def test_the_command_knows_the_formats() -> None:
    assert tuple(FORMATS) == cli.FORMATS


def test_a_suffix_that_the_format_does_not_have(tmp_path: Path) -> None:
    path, _ = save_run(tmp_path)
    with pytest.raises(UsageError, match=r"expected the name of an? \.pth file, which --format detectron2 writes"):
        export(path, tmp_path / "out.pkl", "detectron2")
    with pytest.raises(UsageError, match="the name of a folder, without a suffix, which --format hf writes"):
        export(path, tmp_path / "out.zip", "hf")


def test_a_format_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--format keras: expected one of torchvision, timm, onnx, hf"):
        export("random", tmp_path / "out", "keras")


VIT = {"num_heads": 12, "img_size": 64}


@pytest.mark.parametrize(
    ("encoder", "model_name", "options"),
    [
        ({}, "resnet18", {}),
        ({"name": "vit_small"}, "vit_small_patch16_224", VIT),
        (
            {"name": "vit_small", "pool": "mean"},
            "vit_small_patch16_224",
            {**VIT, "global_pool": "avg", "fc_norm": False},
        ),
    ],
    ids=["resnet18", "vit_small", "mean of a vit_small"],
)
def test_timm_loads_it_strictly_and_computes_the_same(
    tmp_path: Path, encoder: dict[str, object], model_name: str, options: dict[str, object]
) -> None:
    timm = pytest.importorskip("timm")
    path, ours = save_run(tmp_path, size=64, **encoder)
    out = export(path, tmp_path / "timm.safetensors", "timm")
    with safetensors.safe_open(out, "pt") as file:
        call = file.metadata()["architecture"]
    told = "".join(f", {key}={value!r}" for key, value in options.items())
    assert call == f"timm.create_model({model_name!r}, num_classes=0{told})"
    model = timm.create_model(model_name, num_classes=0, **options)
    model.load_state_dict(load_file(out), strict=True)
    torch.testing.assert_close(model.eval()(images()), ours(images()), rtol=1e-4, atol=1e-5)


def test_a_model_of_timm_goes_back_to_timm(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    path, ours = save_run(tmp_path, name="timm/test_resnet")
    model = timm.create_model("test_resnet", num_classes=0)
    model.load_state_dict(load_file(export(path, tmp_path / "timm.safetensors", "timm")), strict=True)
    torch.testing.assert_close(model.eval()(images()), ours(images()))


def test_onnxruntime_computes_the_same_for_any_number_of_images(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    path, encoder = save_run(tmp_path, size=64, width=0.25)
    session = onnxruntime.InferenceSession(export(path, tmp_path / "encoder.onnx", "onnx"))
    for count in (1, 3):
        (features,) = session.run(["features"], {"images": images(count).numpy()})
        torch.testing.assert_close(torch.from_numpy(features), encoder(images(count)), rtol=1e-4, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["mean"]) == [0.485, 0.456, 0.406]


def test_onnx_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    path, _ = save_run(tmp_path)
    with pytest.raises(UsageError, match=r'--format onnx needs .*onnxscript: pip install "sslfast\[onnx\]"'):
        export(path, tmp_path / "encoder.onnx", "onnx")


def test_the_hub_gets_weights_a_configuration_and_a_card(tmp_path: Path) -> None:
    path, encoder = save_run(tmp_path, size=64)
    results = tmp_path / "evaluation"
    rows = [{"encoder": "pre-trained", "top1": 0.75}]
    of_these = Evaluation("knn", "run", "shapes", None, {"k": [20]}, 90, 10, 3, 0.4, rows)
    dataclasses.replace(of_these, weights=weights_digest(encoder)).save(results)
    dataclasses.replace(of_these, kind="linear", weights="of others").save(results)
    folder = export(path, tmp_path / "hub", "hf")

    config = json.loads((folder / "config.json").read_text())
    assert (config["architecture"], config["num_features"]) == ("resnet18", 512)
    assert config["pretrained_cfg"]["input_size"] == [3, 64, 64]
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in encoder.state_dict().items())
    card = (folder / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "unknown"
    assert "pre-trained by moco_v2" in body
    assert "knn on shapes" in body
    assert "| 75.0" in body
    assert "linear on shapes" not in body
    assert "the weights are their owner's" in body


@pytest.mark.parametrize("encoder", [{}, {"name": "vit_small"}, {"name": "vit_small", "pool": "mean"}], ids=str)
def test_timm_loads_the_folder_of_the_hub(tmp_path: Path, encoder: dict[str, object]) -> None:
    timm = pytest.importorskip("timm")
    path, ours = save_run(tmp_path, size=64, **encoder)
    folder = export(path, tmp_path / "hub", "hf")
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    torch.testing.assert_close(model(images()), ours(images()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_detectron2_finds_its_names(tmp_path: Path, name: str) -> None:
    """By the names of its ResNets, in a file that is read without unpickling anything but tensors."""
    path, encoder = save_run(tmp_path, name=name)
    content = torch.load(export(path, tmp_path / "d2.pth", "detectron2"), weights_only=True)
    assert content["matching_heuristics"] is True
    own = encoder.state_dict()
    for ours, theirs in {
        "conv1.weight": "stem.conv1.weight",
        "bn1.running_var": "stem.conv1.norm.running_var",
        "layer1.0.conv2.weight": "res2.0.conv2.weight",
        "layer4.1.bn2.bias": "res5.1.conv2.norm.bias",
        "layer2.0.downsample.0.weight": "res3.0.shortcut.weight",
        "layer2.0.downsample.1.weight": "res3.0.shortcut.norm.weight",
        **({"layer3.5.conv3.weight": "res4.5.conv3.weight"} if name == "resnet50" else {}),
    }.items():
        assert torch.equal(content["model"][theirs], own[ours])
    counters = sum(name.endswith("num_batches_tracked") for name in own)
    assert len(content["model"]) == len(own) - counters
