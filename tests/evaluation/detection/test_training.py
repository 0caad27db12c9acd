"""The training of a detector: its schedule, and that it goes on where it was killed."""

import logging
import re

import pytest
import torch

from sslfast.config import DataConfig
from sslfast.errors import TrainingError
from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.detection.model import build_detector
from sslfast.evaluation.detection.training import build_optimizer, learning_rate, train_detector
from sslfast.run import checkpoint

CPU = torch.device("cpu")


def trained(encoder, images, progress, masks=True, **settings):
    options = DetectConfig(**{"size": 64, "rois": 8, "batch_size": 2, "iterations": 4, **settings})
    torch.manual_seed(0)
    detector = build_detector(encoder, 2, DataConfig(), options, masks=masks)
    train_detector(detector, images, options, CPU, progress, masks=masks)
    return detector.state_dict()


@pytest.mark.parametrize(
    ("protocol", "iterations", "falls", "warmup"),
    [
        ("voc", 24_000, (18_000, 22_000), 100),
        ("coco_1x", 90_000, (60_000, 80_000), 1000),
        ("coco_2x", 180_000, (120_000, 160_000), 1000),
    ],
)
def test_the_papers_schedules(protocol, iterations, falls, warmup):
    options = DetectConfig(protocol=protocol)
    assert (options.iterations, options.batch_size, options.lr, options.size, options.rois) == (
        *(iterations, 16, 0.02, 800, 512),
    )
    assert (options.momentum, options.weight_decay, options.detector, options.norm) == (0.9, 1e-4, "c4", "batch")
    first, second = falls
    rates = [
        learning_rate(iteration, options)
        for iteration in (0, warmup // 2, warmup, first - 1, first, second - 1, second, iterations - 1)
    ]
    assert rates == pytest.approx([2e-5, 0.01001, 0.02, 0.02, 2e-3, 2e-3, 2e-4, 2e-4])


def test_settings_change_the_schedule():
    options = DetectConfig(protocol="voc", iterations=240, batch_size=8)
    assert learning_rate(24, options) == 0.01  # the warm-up is a tenth at most
    assert learning_rate(180, options) == pytest.approx(0.001)
    with pytest.raises(ValueError, match="size=32: expected 64 to 16384 pixels"):
        DetectConfig(size=32)


def test_normalizations_have_no_weight_decay(encoder):
    options = DetectConfig()
    detector = build_detector(encoder, 2, DataConfig(), options, masks=True)
    others, norms = build_optimizer(detector, options).param_groups
    assert (others["weight_decay"], norms["weight_decay"]) == (1e-4, 0.0)
    assert len(others["params"]) + len(norms["params"]) == len(list(detector.parameters()))
    assert {parameter.ndim for parameter in norms["params"]} == {1}


def test_killed_it_goes_on_to_the_same_weights(encoder, images, tmp_path, monkeypatch):
    expected = trained(encoder, images, tmp_path / "p")

    def killed(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            trained(encoder, images, tmp_path / "p")
    monkeypatch.undo()
    torch.rand(3)  # torch's generator is in another state
    resumed = trained(encoder, images, tmp_path / "p")
    assert all(torch.equal(value, resumed[name]) for name, value in expected.items())


def test_a_loss_that_is_not_finite_stops_it(encoder, images, tmp_path):
    with pytest.raises(TrainingError, match="the loss is nan in the steps to .* of 4; set a lower lr"):
        trained(encoder, images, tmp_path / "p", lr=1e30)


def test_the_losses_fall_and_are_logged(encoder, images, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        trained(encoder, images, tmp_path / "p", iterations=20, batch_size=4, lr=0.2)
    terms = [
        {name: float(value) for name, value in re.findall(r"(\w+) (\d\.\d{3})", line.split("(")[1])}
        for line in caplog.messages
        if line.startswith("step")
    ]
    assert len(terms) == 20
    assert set(terms[0]) == {"classifier", "box_reg", "mask", "objectness", "rpn_box_reg"}
    for name in ("classifier", "mask"):
        assert sum(t[name] for t in terms[-3:]) < 0.8 * sum(t[name] for t in terms[:3]), name
