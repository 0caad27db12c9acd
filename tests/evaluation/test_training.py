"""Classifiers that are trained on augmented images: linear protocols and fine-tuning."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sslfast.config import EncoderConfig
from sslfast.config.settings import apply_overrides
from sslfast.config.validation import validate
from sslfast.data import Source, open_source
from sslfast.encoders import build_encoder
from sslfast.errors import TrainingError, UsageError
from sslfast.evaluation.accuracy import class_mean
from sslfast.evaluation.classifier import Classifier, linear_head, mlp_head
from sslfast.evaluation.finetune import labeled_subset
from sslfast.evaluation.finetune_config import FinetuneConfig
from sslfast.evaluation.linear.config import PUBLISHED, LinearConfig
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.evaluation.training import Schedule, build_optimizer, predictions, train_classifier
from sslfast.run import checkpoint
from tests.evaluation.pictures import DATA, pictures

CPU = torch.device("cpu")
SCHEDULE = Schedule(
    epochs=4,
    batch_size=8,
    optimizer="sgd",
    lr=0.1,
    head_lr=1.0,
    momentum=0.9,
    weight_decay=0.0,
    schedule="steps",
    seed=3,
)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(EncoderConfig(stem="cifar", width=0.125)).eval()


def classifier_of(encoder, frozen=0) -> Classifier:
    return Classifier(encoder, linear_head(encoder.feature_dim, 3, torch.Generator().manual_seed(0)), frozen)


@pytest.mark.parametrize(("frozen", "moved"), [(0, 5), (1, 4), (4, 1), (5, 0), ("all", 0)])
def test_frozen_stages_stay_with_their_statistics_and_the_others_move(encoder, tmp_path, frozen, moved):
    classifier = classifier_of(encoder, frozen)
    train_classifier(classifier, pictures(24, 0), DATA, SCHEDULE, CPU, tmp_path / "p")
    for number, (before, after) in enumerate(zip(encoder.stages(), classifier.encoder.stages(), strict=True)):
        same = [torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items()]
        assert all(same) == (number < 5 - moved), number
        assert any(same) == all(same), number
    assert classifier.head.bias.any()


@pytest.mark.parametrize("norm", ["split", "sync"])
def test_statistics_are_of_the_whole_batch_of_one_process(tmp_path, norm):
    encoder = build_encoder(EncoderConfig(stem="cifar", width=0.125, norm=norm)).eval()
    classifier = classifier_of(encoder)
    steps = dataclasses.replace(SCHEDULE, batch_size=5, epochs=1)  # which the 8 parts of split could not share
    train_classifier(classifier, pictures(10, 0), DATA, steps, CPU, tmp_path / "p")
    assert classifier.encoder.state_dict().keys() == encoder.state_dict().keys()


def test_more_frozen_stages_than_there_are_is_refused(encoder):
    with pytest.raises(UsageError, match="frozen=6: the encoder has 5 stages; set as many or less, or frozen=all"):
        classifier_of(encoder, 6)


@pytest.mark.parametrize("frozen", ["-1", "1.5", "true", "some"])
def test_frozen_is_a_count_of_stages_or_all(frozen):
    with pytest.raises(UsageError, match=r"evaluate: frozen: input should be .*; evaluate: frozen: .* 'all', got"):
        validate(FinetuneConfig, apply_overrides(FinetuneConfig, {}, [f"frozen={frozen}"]), "evaluate")
    for kept in (0, 5, "all"):
        assert validate(FinetuneConfig, {"frozen": kept}, "evaluate").frozen == kept


@pytest.mark.parametrize(("batch_size", "count"), [(1, 24), (8, 1)])
def test_a_step_of_one_image_is_refused_where_batch_normalization_is_trained(encoder, tmp_path, batch_size, count):
    schedule, source = dataclasses.replace(SCHEDULE, batch_size=batch_size, epochs=1), pictures(count, 0)
    with pytest.raises(
        UsageError,
        match=f"batch_size={batch_size}, {count} images of pictures: expected at least 2 images in a step, for",
    ):
        train_classifier(classifier_of(encoder), source, DATA, schedule, CPU, tmp_path / "p")
    train_classifier(classifier_of(encoder, "all"), source, DATA, schedule, CPU, tmp_path / "p")


def test_it_learns_what_the_untrained_does_not_know(encoder, tmp_path):
    classifier = classifier_of(encoder)
    before = predictions(classifier.to(CPU), pictures(30, 1), DATA, CPU, 7).accuracies()
    train_classifier(
        classifier, pictures(48, 0), DATA, dataclasses.replace(SCHEDULE, epochs=20), CPU, tmp_path / "p"
    )
    after = predictions(classifier, pictures(30, 1), DATA, CPU, 7).accuracies()
    assert before["top1"] < 0.6 < 0.9 < after["top1"]
    assert not list(tmp_path.iterdir())  # nothing is left of a training that has ended


@pytest.mark.parametrize("optimizer", ["sgd", "lars"])
def test_an_interrupted_training_goes_on_to_the_same_weights(encoder, tmp_path, monkeypatch, optimizer):
    schedule = dataclasses.replace(SCHEDULE, optimizer=optimizer, schedule="cosine")
    expected = classifier_of(encoder)
    train_classifier(expected, pictures(24, 0), DATA, schedule, CPU, tmp_path / "p")

    def killed(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train_classifier(classifier_of(encoder), pictures(24, 0), DATA, schedule, CPU, tmp_path / "p")
    monkeypatch.undo()
    resumed = classifier_of(encoder)
    train_classifier(resumed, pictures(24, 0), DATA, schedule, CPU, tmp_path / "p")
    weights = resumed.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in expected.state_dict().items())


def test_a_training_that_diverges_stops(encoder, tmp_path):
    diverging = dataclasses.replace(SCHEDULE, lr=1e30)
    with pytest.raises(TrainingError, match="the training has diverged, .*; set a lower lr"):
        train_classifier(classifier_of(encoder), pictures(24, 0), DATA, diverging, CPU, tmp_path / "p")
    classifier = classifier_of(encoder)
    single = dataclasses.replace(diverging, batch_size=24, epochs=1)  # whose loss is that before it
    train_classifier(classifier, pictures(24, 0), DATA, single, CPU, tmp_path / "q")
    with pytest.raises(TrainingError, match="the training has diverged"):
        predictions(classifier, pictures(8, 0), DATA, CPU, 8)


def test_rates_of_encoder_and_head_are_apart_and_scale_with_the_batch(encoder):
    optimizer = build_optimizer(classifier_of(encoder), SCHEDULE, batch_size=64)
    assert [group["peak"] for group in optimizer.param_groups] == [0.1 / 4, 1.0 / 4]
    (head,) = build_optimizer(classifier_of(encoder, "all"), SCHEDULE, batch_size=512).param_groups
    assert head["peak"] == 2.0


def test_steps_and_cosine():
    assert [SCHEDULE.factor(step, 50) for step in (0, 29, 30, 39, 40, 49)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    cosine = dataclasses.replace(SCHEDULE, schedule="cosine")
    assert [cosine.factor(step, 50) for step in (0, 25, 50)] == pytest.approx([1, 0.5, 0])


def test_the_crops_are_other_ones_each_epoch_and_never_in_the_test(encoder, tmp_path, monkeypatch):
    seen = []
    classifier = classifier_of(encoder, "all")
    classifier.encoder.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].clone()))
    train_classifier(
        classifier, pictures(8, 0), DATA, dataclasses.replace(SCHEDULE, epochs=2), CPU, tmp_path / "p"
    )
    first, second = (images[images.flatten(1).mean(1).argsort()] for images in seen)
    assert not torch.equal(first, second)
    seen.clear()
    for _ in range(2):
        predictions(classifier, pictures(8, 0), DATA, CPU, 8)
    assert torch.equal(*seen)


def test_the_mean_of_classes():
    labels = torch.tensor([0, 0, 0, 0, 2])  # class 1 has no image
    ranks = torch.tensor([0, 1, 2, 1, 0])
    assert class_mean(ranks, labels) == pytest.approx((1 / 4 + 1) / 2)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_papers_protocol_is_its_numbers_and_its_settings_can_be_changed(name):
    config = LinearConfig(protocol=name)
    expected = {
        "moco": ("sgd", 100, 30.0, 256),
        "simsiam": ("lars", 90, 0.1 * 16, 4096),
        "mncl": ("lars", 90, 0.8, 256),
        "lewel_m": ("lars", 90, 3.2, 4096),
        "lewel_b": ("sgd", 50, 0.4, 256),
    }[name]
    rate = config.lr * config.batch_size / 256
    assert (config.form, config.epochs, pytest.approx(rate), config.batch_size) == expected
    assert (config.weight_decay, config.momentum, config.standardize) == (0.0, 0.9, False)
    assert LinearConfig(protocol=name, epochs=3, lr=0.5).epochs == 3


@pytest.mark.parametrize(
    "settings", [{"protocol": "mncl", "lr": 2000.0}, {"protocol": "moco", "lr": 3.0, "standardize": True}]
)
def test_a_linear_protocol_on_images(encoder, tmp_path, settings):
    options = LinearConfig(epochs=20, device="cpu", batch_size=16, **settings)
    (row,) = PROTOCOLS["linear"].judge(encoder, pictures(48, 0), pictures(30, 1), DATA, options, tmp_path / "stem")
    assert row["top1"] > 0.7  # 1/3 by chance
    assert row["class_mean"] == pytest.approx(row["top1"])  # as many of each


def test_few_labels(tmp_path):
    source = pictures(300, 0)
    tenth = labeled_subset(source, "10%", 0)
    assert np.bincount(tenth.labels).tolist() == [10, 10, 10]
    assert labeled_subset(source, "100%", 0) is source
    again, other = labeled_subset(source, "10%", 0), labeled_subset(source, "10%", 1)
    assert np.array_equal(tenth.images, again.images)
    assert not np.array_equal(tenth.images, other.images)
    with pytest.raises(UsageError, match="labels=0.5%: 2 of the 300 images of pictures, fewer than its 3 classes"):
        labeled_subset(source, "0.5%", 0)


@pytest.fixture
def files(tmp_path) -> Source:
    """Writes two images of each of two classes, of the same names in both."""
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (16, 16)).save(tmp_path / "data" / name / f"{number}.png")
    return open_source(str(tmp_path / "data"))


def test_labels_that_a_file_names(files, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("dog/1.png\ncat/0.png\n\n")
    chosen = labeled_subset(files, str(names), 0)
    assert [path.parent.name for path in chosen.paths] == ["dog", "cat"]
    for content, message in (
        ("dog/7.png", "1 of its 1 names are none of an image of .*, the first is dog/7.png"),
        ("0.png", "0.png is the name of several images"),
        ("", "names no image"),
    ):
        names.write_text(content)
        with pytest.raises(UsageError, match=message):
            labeled_subset(files, str(names), 0)
    names.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read as a text file"):
        labeled_subset(files, str(names), 0)
    with pytest.raises(UsageError, match="no such file"):
        labeled_subset(files, "ten percent", 0)


def test_the_choice_of_labels_is_written_and_can_be_given_again(encoder, files, tmp_path):
    options = FinetuneConfig(labels="50%", epochs=1, device="cpu")
    PROTOCOLS["finetune"].judge(encoder, files, files, DATA, options, tmp_path / "out" / "stem")
    written = tmp_path / "out" / "stem.labels.txt"
    names = written.read_text().split()
    assert len(names) == 2
    again = labeled_subset(files, str(written), 0)
    assert ["/".join(path.parts[-2:]) for path in again.paths] == names


def test_lewels_rates_follow_the_share_of_labels():
    rates = [(o.lr, o.head_lr) for o in (FinetuneConfig(labels=share) for share in ("1%", "10%", "100%"))]
    assert rates == [(1e-4, 1.0), (1e-2, 0.1), (1e-2, 0.1)]
    config = FinetuneConfig(labels="1%", lr=0.0)
    assert (config.lr, config.head_lr, config.epochs, config.batch_size) == (0.0, 1.0, 50, 256)


def test_rates_follow_the_share_that_a_file_names(tmp_path):
    for part, each in (("train", 50), ("val", 1)):
        for name in "ab":
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(each):
                Image.new("RGB", (8, 8)).save(tmp_path / part / name / f"{number}.png")
    names, finetune = tmp_path / "names.txt", PROTOCOLS["finetune"]
    for count, rates in ((1, (1e-4, 1.0)), (10, (1e-2, 0.1))):
        names.write_text("".join(f"a/{number}.png\n" for number in range(count)))
        options = finetune.open(str(tmp_path), None, FinetuneConfig(labels=str(names)), None).options
        assert (options.lr, options.head_lr) == rates


def test_a_head_with_a_hidden_layer():
    head = mlp_head(8, 3, torch.Generator().manual_seed(0))
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Linear]
    assert head(torch.zeros(2, 8)).shape == (2, 3)
