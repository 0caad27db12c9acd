"""What every encoder does: it is trained, saved, loaded and evaluated."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from sslfast.commands.evaluate import evaluate
from sslfast.commands.export import export
from sslfast.commands.pretrain import pretrain
from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe, to_dict
from sslfast.weights import find_encoder

RUN = [
    "data.limit=72",
    "data.batch_size=16",
    "data.val_fraction=0.1112",  # 64 to train on: 4 steps
    "method.dim=16",
    "method.hidden=16",
    "method.queue_size=32",
    "optim.warmup_epochs=0",
    "train.epochs=1",
    "train.knn_every=1",
    "train.threads=1",
    *(f"encoder.{key}={json.dumps(value)}" for key, value in to_dict(EncoderConfig()).items()),
]
ENCODERS = {
    "resnet": {"name": "resnet18", "stem": "cifar", "width": 0.125, "norm": "sync"},
    "vit": {"name": "vit_small", "width": 0.125, "patch_size": 8},
    "timm_cnn": {"name": "timm/test_resnet", "norm": "sync"},
    "timm_vit": {"name": "timm/test_vit"},
}


@pytest.fixture(scope="module", params=ENCODERS)
def settings(request):
    if request.param.startswith("timm"):
        pytest.importorskip("timm")
    return ENCODERS[request.param]


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    """Makes a run of four steps."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    overrides = [f"encoder.{key}={str(value).lower()}" for key, value in settings.items()]
    pretrain(load_recipe("moco_v2_shapes", [*RUN, *overrides]), folder)
    return folder


def test_features_and_maps_have_its_width(settings):
    encoder = build_encoder(EncoderConfig(**settings)).eval()
    images = torch.randn(2, 3, 32, 32)
    features, dense = encoder(images), encoder(images, dense=True)
    assert features.shape == (2, encoder.feature_dim)
    assert dense.shape[:2] == features.shape
    assert dense.shape[2] == dense.shape[3] > 0
    assert features.isfinite().all()
    assert features[0].sub(features[1]).abs().max() > 0


def test_a_seed_makes_its_weights(settings):
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(torch.cat([p.flatten() for p in build_encoder(EncoderConfig(**settings)).parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_its_checkpoint_and_its_backbone_hold_it(settings, run):
    found = find_encoder(run)
    encoder = found.encoder
    assert not encoder.training
    assert found.config == EncoderConfig(**settings)
    twin = build_encoder(found.config).eval()
    twin.load_state_dict(load_file(run / "backbone.safetensors"))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(twin(images), encoder(images), rtol=0, atol=0)


def test_training_moves_every_trained_parameter_and_no_other(settings, run):
    config = load_recipe(str(run / "config.yaml"))
    torch.manual_seed(config.train.seed)
    initial = build_encoder(config.encoder)
    trained = dict(find_encoder(run).encoder.named_parameters())
    for name, parameter in initial.named_parameters():
        assert torch.equal(trained[name], parameter) != parameter.requires_grad, name


def test_it_is_evaluated_beside_its_random_beginning(run):
    rows = evaluate("knn", run, "shapes", overrides=["limit=60", "k=[5]"]).rows
    assert [row["encoder"] for row in rows] == ["pre-trained", "random initialization"]
    assert all(math.isfinite(row["top1"]) for row in rows)


def test_torchvision_has_none_of_these(run, tmp_path):
    with pytest.raises(UsageError, match="this format is of ResNets with .*, and torchvision has no"):
        export(run, tmp_path / "out.safetensors", "torchvision")


def test_an_unknown_name_is_refused():
    with pytest.raises(UsageError, match="encoder.name: expected one of resnet18.*vit_base, or timm/<model>, got"):
        build_encoder(EncoderConfig(name="resnet19"))
