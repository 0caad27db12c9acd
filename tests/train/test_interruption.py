"""A signal during an evaluation, a pass over the images or a clustering: the run is saved, stops, and goes on."""

import os
import shutil
import signal
from functools import partial

import pytest
import torch

from sslfast import device
from sslfast.commands.pretrain import pretrain
from sslfast.config import DataConfig
from sslfast.data import open_source
from sslfast.evaluation import features as evaluation
from sslfast.evaluation import knn
from sslfast.evaluation.features import features
from sslfast.methods.parts import clustering
from sslfast.methods.parts.clustering import kmeans
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.train.trainer import Trainer
from tests.methods.runs import small_recipe
from tests.train.runs import assert_same, lines, signal_after, state, tiny

RUN = ["train.epochs=2", "train.knn_every=1"]
EPOCH = 5


class Stop(Exception):
    pass


def after(calls):
    """Makes a check that raises at the call after so many."""
    left = iter(range(calls))

    def check():
        if next(left, None) is None:
            raise Stop

    return check


def comparable(run):
    """Reads the metrics of a run that its settings determine."""
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines(run)]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Makes a run that was not interrupted, evaluated at the steps 0, 5 and 10."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    pretrain(tiny(*RUN), run)
    return run


@pytest.fixture(scope="module")
def source():
    """Opens the images of `small_recipe`."""
    return open_source("shapes", limit=72)


@pytest.mark.parametrize("evaluation_number", [0, 1, 2])
def test_a_signal_during_an_evaluation(finished, tmp_path, monkeypatch, evaluation_number):
    """Weights are saved before they are evaluated, and the evaluation is made when the run goes on."""
    run, passes, eval_batches = tmp_path / "run", [], evaluation.eval_batches

    def signalled(source, *args):
        passes.append(len(source))
        if len(passes) == 3 * evaluation_number + 1:  # over both parts of the images, and over some mirrored
            assert evaluation_number == 0 or state(run)["step"] == EPOCH * evaluation_number
            os.kill(os.getpid(), signal.SIGTERM)
        return eval_batches(source, *args)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "eval_batches", signalled)
        with pytest.raises(SystemExit, match="143"):
            pretrain(tiny(*RUN), run)
    assert len(passes) == 3 * evaluation_number + 1  # not the one over the held-out images
    assert state(run)["step"] == EPOCH * evaluation_number
    assert [line["step"] for line in lines(run) if "knn_top1" in line] == [0, EPOCH][:evaluation_number]
    assert not (run / "backbone.safetensors").exists()

    torch.manual_seed(123)
    pretrain(tiny(*RUN), run, resume=True)
    assert_same(state(run), state(finished))
    assert comparable(run) == comparable(finished)
    assert (run / "backbone.safetensors").read_bytes() == (finished / "backbone.safetensors").read_bytes()


def test_an_evaluation_that_is_done_is_not_done_again(finished, tmp_path, monkeypatch):
    run = shutil.copytree(finished, tmp_path / "run")
    monkeypatch.setattr(evaluation, "eval_batches", lambda *args: pytest.fail("evaluates"))
    pretrain(tiny(*RUN), run, resume=True)
    assert lines(run) == lines(finished)


def test_the_initial_weights_are_evaluated_when_they_are_first_needed(finished, tmp_path):
    """Not the trained ones in their place."""
    pretrain(tiny(*RUN, "train.knn_every=0"), tmp_path / "run")
    pretrain(tiny(*RUN), tmp_path / "run", resume=True)
    assert comparable(tmp_path / "run")[-1] == comparable(finished)[-1]


def test_a_signal_during_a_clustering(tmp_path, monkeypatch):
    """That of the second epoch, in its third iteration."""
    whole, run, iterations, sizes = tmp_path / "whole", tmp_path / "run", [], clustering.sizes
    recipe = small_recipe("deepcluster", "method.iterations=4")
    pretrain(recipe, whole)

    def signalled(*args):
        iterations.append(args)
        if len(iterations) == 5 + 3:  # each clustering counts its clusters once more in the end
            os.kill(os.getpid(), signal.SIGTERM)
        return sizes(*args)

    with monkeypatch.context() as patch:
        patch.setattr(clustering, "sizes", signalled)
        with pytest.raises(SystemExit, match="143"):
            pretrain(recipe, run)
    assert (len(iterations), state(run)["step"]) == (8, 4)
    pretrain(recipe, run, resume=True)
    assert_same(state(run), state(whole))


@pytest.mark.parametrize("name", ["deepcluster", "deepcluster_v2", "local_aggregation", "pcl"])
def test_an_epoch_whose_beginning_was_interrupted_begins_as_if_it_had_not_been(name, source, tmp_path):
    recipe = small_recipe(name)
    whole, twice = (Trainer(recipe, RunDirectory(tmp_path / "run"), source) for _ in range(2))
    checks = []
    whole.method.start_epoch(0, whole.embed, lambda: checks.append(True))
    with pytest.raises(Stop):
        twice.method.start_epoch(0, twice.embed, after(len(checks) - 1))
    twice.method.start_epoch(0, twice.embed)
    assert_same(twice.method.state_dict(), whole.method.state_dict())


def test_features_end_between_batches(source):
    encoder = torch.nn.Flatten()
    encoder.register_forward_hook(lambda *_: passed.append(True))
    for calls in (0, 2):  # of nine
        passed = []
        with pytest.raises(Stop):
            features(
                encoder, source, DataConfig(), torch.device("cpu"), batch_size=8, check_interrupt=after(calls)
            )
        assert len(passed) == calls
    features(encoder, source, DataConfig(), torch.device("cpu"), batch_size=8, check_interrupt=after(9))


def test_a_classification_ends_between_chunks(monkeypatch):
    monkeypatch.setattr(knn, "SIMILARITIES", 20)
    x, y = torch.eye(10), torch.arange(10)
    accuracy = partial(knn.knn_accuracy, x, y, x, y, k=1, temperature=0.1, num_classes=10)
    with pytest.raises(Stop):
        accuracy(check_interrupt=after(4))
    assert accuracy(check_interrupt=after(5))["top1"] == 1


def test_a_clustering_ends_between_iterations():
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(Stop):
        kmeans(points, 3, seed=0, epoch=0, iterations=4, check_interrupt=after(3))
    kmeans(points, 3, seed=0, epoch=0, iterations=4, check_interrupt=after(4))


def test_a_run_in_bf16_goes_on_to_the_same_bits_where_auto_is_fp32(tmp_path, monkeypatch):
    """`auto` is resolved where a run is started, and its choice is kept."""
    whole, run, short = (
        tmp_path / "whole",
        tmp_path / "run",
        ["train.epochs=2", "train.knn_every=0", "train.precision=auto"],
    )
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: True)
    pretrain(tiny(*short), whole)
    with monkeypatch.context() as patch:
        signal_after(patch, 7)
        with pytest.raises(SystemExit, match="143"):
            pretrain(tiny(*short), run)
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: False)
    pretrain(tiny(*short), run, resume=True)
    assert read_recipe(RunDirectory(run).config).train.precision == "bf16"
    assert "bf16" in (run / "train.log").read_text()
    assert_same(state(run), state(whole))
