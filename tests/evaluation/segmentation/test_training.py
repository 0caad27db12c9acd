"""Networks for segmentation are trained, and the training goes on after a kill."""

import dataclasses
import json

import pytest
import torch

from sslfast.config import DataConfig, EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.evaluation.segmentation.config import SegmentConfig
from sslfast.evaluation.segmentation.fcn import FCN
from sslfast.evaluation.segmentation.training import learning_rate, train_network
from sslfast.run import checkpoint
from tests.evaluation.segmentation.halves import CLASSES, SIDE, halves

CPU, DATA = torch.device("cpu"), DataConfig(size=32)
QUICK = SegmentConfig(device="cpu", iterations=5, batch_size=4, size=SIDE, lr=0.05)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(EncoderConfig(width=0.125)).eval()


@pytest.fixture
def images(tmp_path):
    return halves(tmp_path / "images", 6, 0)


def trained(encoder, images, options, progress):
    torch.manual_seed(1)
    network = FCN(encoder, 3, SIDE)
    train_network(network, images, DATA, options, CPU, progress)
    return network.state_dict()


def test_it_learns_what_the_untrained_does_not_know(encoder, tmp_path):
    train, val = halves(tmp_path / "train", 24, 0), halves(tmp_path / "val", 6, 1)
    options = dataclasses.replace(QUICK, batch_size=8, lr=0.2)
    judge, stem = PROTOCOLS["segment"].judge, tmp_path / "s"
    (before,) = judge(encoder, train, val, DATA, dataclasses.replace(options, iterations=1), stem)
    (after,) = judge(encoder, train, val, DATA, dataclasses.replace(options, iterations=40), stem)
    assert before["miou"] < 0.25 < 0.45 < after["miou"]
    assert list(after["iou"]) == CLASSES
    assert after["miou"] == pytest.approx(sum(after["iou"].values()) / 3)
    json.dumps(after)
    pictures = sorted(path.name for path in tmp_path.glob("s.*"))  # and no progress
    assert pictures == [f"s.picture-{n}.jpg" for n in (1, 2, 3, 4)]


def test_the_rate_falls_as_mmsegmentations_poly():
    assert learning_rate(0, 100, 0.01) == pytest.approx(0.01)
    assert learning_rate(50, 100, 0.01) == pytest.approx(1e-4 + 0.0099 * 0.5**0.9)
    assert learning_rate(100, 100, 0.01) == pytest.approx(1e-4)
    assert learning_rate(50, 100, 1e-5) == pytest.approx(1e-5)


def test_the_protocols_and_their_settings():
    config = SegmentConfig(protocol="voc")
    assert (config.iterations, config.batch_size, config.size, config.lr) == (20_000, 16, 512, 0.01)
    assert (config.momentum, config.weight_decay) == (0.9, 5e-4)
    assert SegmentConfig(protocol="voc", lr=0.1, iterations=7).iterations == 7
    assert SegmentConfig().iterations == 300
    with pytest.raises(ValueError, match="size=8: expected 16 to 16384 pixels"):
        SegmentConfig(size=8)
    with pytest.raises(ValueError, match="batch_size=1: expected at least 2 crops in a step"):
        SegmentConfig(batch_size=1)


def test_an_interrupted_training_goes_on_to_the_same_weights(encoder, images, tmp_path, monkeypatch):
    expected = trained(encoder, images, QUICK, tmp_path / "p")

    def killed(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(encoder, images, QUICK, tmp_path / "p")
    monkeypatch.undo()
    found = trained(encoder, images, QUICK, tmp_path / "p")
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
