"""Encoders with the weights that torchvision and timm publish."""

from urllib.error import URLError

import pytest
import torch
import torchvision

from sslfast.errors import UsageError
from sslfast.weights import find_encoder, load_encoder
from tests.weights.networks import assert_same, perturbed


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """Gives an empty cache of torch's hub, and no network."""

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
    with pytest.raises(
        UsageError, match="the name of a ResNet after torchvision/, got 'resnet5'; did you mean 'resnet50'"
    ):
        load_encoder("torchvision/resnet5")
    with pytest.raises(UsageError, match="--architecture resnet50: torchvision/resnet18 has one already"):
        load_encoder("torchvision/resnet18", architecture="resnet50")
    with pytest.raises(UsageError, match="--partial: .* torchvision/resnet18 is none; leave it out"):
        load_encoder("torchvision/resnet18", partial=True)


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
    with pytest.raises(UsageError, match="timm/test_vit@other: .* of timm's test_vit; choose from r160_in1k"):
        load_encoder("timm/test_vit@other")

    def fail(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(
        timm, "create_model", lambda name, **o: fail() if o.get("pretrained") else create(name, **o)
    )
    with pytest.raises(UsageError, match=r"timm/test_vit: cannot be downloaded \(no network\); give a file"):
        load_encoder("timm/test_vit")
