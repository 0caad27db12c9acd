"""Encoders by name: runs, files of ours and of other software, libraries' caches."""

import json
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

import sslfast
from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run.backbone import write_backbone
from sslfast.run.checkpoint import Checkpoints, load, save
from sslfast.weights import find_encoder, load_encoder
from sslfast.weights.named import load_state


def perturbed(network: torch.nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """A network's state, of which every tensor, running statistics too, differs from the initial one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.add_(0.001 * torch.rand(value.shape, generator=generator) if value.is_floating_point() else 5)
    return network.state_dict()


def small_resnet() -> torch.nn.Module:
    return build_encoder(EncoderConfig(width=0.125))


def assert_same(encoder: torch.nn.Module, weights: dict[str, Tensor]) -> None:
    own = encoder.state_dict()
    assert own
    assert all(torch.equal(value, weights[name]) for name, value in own.items())


@pytest.fixture
def run(tmp_path: Path):
    """A run's directory, the state of its encoder, and its recipe."""
    encoder = {"width": 0.125, "stem": "cifar"}
    data = {"size": 16, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.1]}
    recipe = from_dict({"method": {"name": "moco_v2"}, "encoder": encoder, "data": data})
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


def test_an_encoder_of_colors_keeps_the_normalization_in_its_weights(tmp_path):
    recipe = from_dict({"method": {"name": "cmc"}, "encoder": {"colors": "lab", "width": 0.25}})
    encoder = build_encoder(recipe.encoder, mean=recipe.data.mean, std=recipe.data.std)
    write_backbone(encoder, tmp_path / "b.safetensors", to_dict(recipe))
    loaded = load_encoder(tmp_path / "b.safetensors")
    assert torch.equal(loaded.mean, torch.tensor(recipe.data.mean))
    assert loaded.side == recipe.data.size


@pytest.mark.parametrize(("name", "suffix"), [("resnet18", ".pth"), ("resnet50", ".safetensors")])
def test_torchvisions_weights_go_round_bit_for_bit(tmp_path, name, suffix):
    from sslfast.commands.export import export_torchvision

    model = getattr(torchvision.models, name)()
    weights = perturbed(model)
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(weights, path)
    encoder = load_encoder(path)
    assert_same(encoder, weights)
    assert (encoder.side, encoder.mean.tolist()) == (224, pytest.approx([0.485, 0.456, 0.406]))
    export_torchvision(path, tmp_path / "back.safetensors")
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
    """A part of torchvision's ResNet by its place among the children, as a Sequential of them has it."""
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


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache of torch's hub, and no network."""

    def fail(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "urlopen", fail)
    folder = tmp_path / "hub" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_torchvisions_published_weights(offline):
    model = torchvision.models.resnet18()
    weights = perturbed(model)
    torch.save(weights, offline / "resnet18-f37072fd.pth")  # as torchvision caches IMAGENET1K_V1
    for name in ("torchvision/resnet18", "torchvision/resnet18@IMAGENET1K_V1"):
        encoder = load_encoder(name)
        assert_same(encoder, weights)
        assert encoder.side == 224
    with pytest.raises(
        UsageError, match=r"torchvision/resnet50: cannot be downloaded \(Name or service not known\)"
    ):
        load_encoder("torchvision/resnet50")
    with pytest.raises(UsageError, match="resnet18 has the weights IMAGENET1K_V1, got 'V7'"):
        load_encoder("torchvision/resnet18@V7")
    with pytest.raises(UsageError, match="expected one of resnet18, .*did you mean 'resnet50'"):
        load_encoder("torchvision/resnet5")
    with pytest.raises(UsageError, match="--architecture resnet50: torchvision/resnet18 has one already"):
        load_encoder("torchvision/resnet18", architecture="resnet50")


def test_random_weights_are_the_same_every_time():
    encoder = load_encoder("random")
    assert torch.equal(encoder.conv1.weight, load_encoder("random").conv1.weight)
    assert load_encoder("random", architecture="resnet50").feature_dim == 2048
    with pytest.raises(UsageError, match="encoder.name"):
        load_encoder("random", architecture="resnet5")


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


def test_another_softwares_weights_that_are_not_finite_are_refused(tmp_path):
    weights = small_resnet().state_dict()
    weights["layer3.0.bn1.bias"].fill_(torch.inf)
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(UsageError, match=r"w\.pth: encoder\.layer3\.0\.bn1\.bias: holds numbers that"):
        load_encoder(tmp_path / "w.pth")


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


def test_a_state_dict_of_timm(tmp_path):
    timm = pytest.importorskip("timm")
    weights = perturbed(timm.create_model("test_vit", num_classes=7))
    save_file(weights, tmp_path / "w.safetensors")
    found = find_encoder(tmp_path / "w.safetensors", architecture="timm/test_vit")
    assert_same(found.encoder.model, weights)
    assert found.data.size == 160  # the model's own


def test_timms_published_weights(monkeypatch):
    timm = pytest.importorskip("timm")
    weights = perturbed(timm.create_model("test_vit"))
    create = timm.create_model

    def downloaded(name, pretrained=False, **options):
        model = create(name, **options)
        if pretrained:
            assert name in ("test_vit", "test_vit.r160_in1k")
            model.load_state_dict(weights)
        return model

    monkeypatch.setattr(timm, "create_model", downloaded)
    for name in ("timm/test_vit", "timm/test_vit@r160_in1k"):
        found = find_encoder(name)
        assert_same(found.encoder.model, weights)
        assert (found.data.size, found.data.mean) == (160, tuple(found.encoder.model.pretrained_cfg["mean"]))
    with pytest.raises(UsageError, match="timm/test_vit@other: expected weights of timm's test_vit, r160_in1k"):
        load_encoder("timm/test_vit@other")

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(
        timm, "create_model", lambda name, **o: fail() if o.get("pretrained") else create(name, **o)
    )
    with pytest.raises(UsageError, match=r"timm/test_vit: cannot be downloaded \(no network\); give a file"):
        load_encoder("timm/test_vit")
