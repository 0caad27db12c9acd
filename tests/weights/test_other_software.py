"""Encoders out of the state dicts of other software."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file

import sslfast
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.recipes.load import from_dict
from sslfast.weights import find_encoder, load_encoder
from tests.weights.networks import assert_same, perturbed, small_resnet


@pytest.mark.parametrize(("name", "suffix"), [("resnet18", ".pth"), ("resnet50", ".safetensors")])
def test_torchvisions_weights_go_round_bit_for_bit(tmp_path, name, suffix):
    from sslfast.commands.export import export

    model = getattr(torchvision.models, name)()
    weights = perturbed(model)
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(weights, path)
    encoder = load_encoder(path)
    assert_same(encoder, weights)
    assert (encoder.side, encoder.mean.tolist()) == (224, pytest.approx([0.485, 0.456, 0.406]))
    export(path, tmp_path / "back.safetensors", "torchvision")
    assert_same(sslfast.load_encoder(tmp_path / "back.safetensors"), weights)


WRAPPERS = {
    "moco": lambda w, other: {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": {
            **{f"module.encoder_q.{k}": v for k, v in w.items()},
            **{f"module.encoder_k.{k}": v for k, v in other.items()},
            "module.encoder_q.fc.0.weight": torch.zeros(4, 512),
            "module.queue": torch.zeros(4, 8),
            "module.queue_ptr": torch.zeros(1, dtype=torch.long),
        },
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.03}]},
    },
    "simsiam": lambda w, other: {"state_dict": {f"module.encoder.{k}": v for k, v in w.items()}},
    "swav": lambda w, other: {
        **{f"module.{k}": v for k, v in w.items()},
        "module.projection_head.0.weight": torch.zeros(4, 512),
        "module.prototypes.weight": torch.zeros(9, 4),
    },
    "lewel": lambda w, other: {
        "model": {
            **{f"module.online_network.{k}": v for k, v in w.items()},
            **{f"module.target_network.{k}": v for k, v in other.items()},
        }
    },
    "dino": lambda w, other: {
        "student": {f"module.backbone.{k}": v for k, v in other.items()},
        "teacher": {**{f"backbone.{k}": v for k, v in w.items()}, "head.mlp.0.weight": torch.zeros(4, 4)},
    },
    "solo-learn": lambda w, other: {
        "state_dict": {
            **{f"backbone.{k}": v for k, v in w.items()},
            **{f"momentum_backbone.{k}": v for k, v in other.items()},
            "classifier.weight": torch.zeros(3, 512),
        }
    },
    "lightly": lambda w, other: {
        "state_dict": {
            **{f"backbone.{numbered(k)}": v for k, v in w.items()},
            **{f"backbone_momentum.{numbered(k)}": v for k, v in other.items()},
            "projection_head.layers.0.weight": torch.zeros(4, 512),
        }
    },
}


def numbered(name: str) -> str:
    """Names a part of torchvision's ResNet by its place among the children, as a Sequential of them has it."""
    part, _, rest = name.partition(".")
    places = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    return f"{places[part]}.{rest}"


@pytest.mark.parametrize("package", WRAPPERS)
def test_other_packages_checkpoints_are_found_under_their_prefixes(tmp_path, package):
    weights, copy = perturbed(small_resnet(), 1), perturbed(small_resnet(), 2)
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(WRAPPERS[package](weights, copy), path)
    assert_same(load_encoder(path), weights)


@pytest.mark.parametrize("encoder", [{"stem": "cifar"}, {"width": 0.5}, {"name": "resnet34"}])
def test_a_resnets_depth_stem_and_width_are_told_by_its_tensors(tmp_path, encoder):
    recipe = from_dict({"method": {"name": "moco_v2"}, "encoder": encoder})
    weights = perturbed(build_encoder(recipe.encoder))
    torch.save(weights, tmp_path / "w.pth")
    found = find_encoder(tmp_path / "w.pth")
    assert_same(found.encoder, weights)
    assert found.config == recipe.encoder


def test_a_state_dict_of_another_network_needs_its_architecture(tmp_path):
    recipe = from_dict({"method": {"name": "moco_v3"}, "encoder": {"name": "vit_small"}})
    weights = perturbed(build_encoder(recipe.encoder))
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"w\.pth: its tensors are no ResNet's .*--architecture"):
        load_encoder(tmp_path / "w.pth")
    assert_same(load_encoder(tmp_path / "w.pth", architecture="vit_small"), weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("layer2.0.conv1.weight"), "it lacks layer2.0.conv1.weight;"),
        (lambda w: w.update({"attention.weight": torch.zeros(3)}), "it has attention.weight, which"),
        (
            lambda w: w.update({"layer4.1.bn2.bias": torch.zeros(7)}),
            r"layer4.1.bn2.bias is \(7,\), not \(64,\)",
        ),
    ],
)
def test_what_is_left_over_or_missing_is_named(tmp_path, caplog, change, message):
    weights = dict(perturbed(small_resnet()))
    change(weights)
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=f"its weights do not fit: {message}.*--partial"):
        load_encoder(tmp_path / "w.pth")
    encoder = load_encoder(tmp_path / "w.pth", partial=True)
    assert torch.equal(encoder.conv1.weight, weights["conv1.weight"])
    assert any("w.pth" in record.getMessage() for record in caplog.records if record.levelname == "WARNING")


def test_old_files_without_batch_norms_counters_are_taken(tmp_path):
    weights = perturbed(small_resnet())
    torch.save({k: v for k, v in weights.items() if "num_batches" not in k}, tmp_path / "w.pth")
    assert torch.equal(load_encoder(tmp_path / "w.pth").bn1.running_var, weights["bn1.running_var"])


def test_several_encoders_that_could_be_meant_are_refused(tmp_path):
    model = small_resnet().state_dict()
    torch.save(
        {**{f"left.{k}": v for k, v in model.items()}, **{f"right.{k}": v for k, v in model.items()}},
        tmp_path / "w.pth",
    )
    with pytest.raises(UsageError, match=r"holds 2 encoders, left\., right\.; save"):
        load_encoder(tmp_path / "w.pth")


class Planted:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_refused(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{name}: no file of weights, or damaged; expected"):
        load_encoder(tmp_path / name)


def test_nothing_is_unpickled(tmp_path, capsys):
    torch.save({"state_dict": Planted()}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="no file of weights"):
        load_encoder(tmp_path / "w.pth")
    assert capsys.readouterr().out == ""


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="holds no tensors"):
        load_encoder(tmp_path / "w.pth")


def test_another_softwares_weights_that_are_not_finite_are_refused(tmp_path):
    weights = small_resnet().state_dict()
    weights["layer3.0.bn1.bias"].fill_(torch.inf)
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"w\.pth: encoder\.layer3\.0\.bn1\.bias: holds numbers that"):
        load_encoder(tmp_path / "w.pth")


def test_a_state_dict_of_timm(tmp_path):
    timm = pytest.importorskip("timm")
    weights = perturbed(timm.create_model("test_vit", num_classes=7))
    save_file(weights, tmp_path / "w.safetensors")
    found = find_encoder(tmp_path / "w.safetensors", architecture="timm/test_vit")
    assert_same(found.encoder.model, weights)
    assert found.data.size == 160  # the model's own
