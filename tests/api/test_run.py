"""A run as an object: what it tells, what it needs again, and how it goes on."""

import html
import shutil

import pytest
import torch

import sslfast
from sslfast.errors import UsageError
from sslfast.run.directory import read_recipe
from tests.api.runs import LABELS, Network, images


@pytest.fixture
def copied(own, tmp_path):
    """Copies the run's directory; the copy may be changed."""
    return shutil.copytree(own[0].path, tmp_path / "run")


def test_callbacks_get_every_step_and_epoch(own):
    run, _, calls = own
    assert [call[:2] for call in calls] == [
        *(("step", 1), ("step", 2), ("epoch", 1)),
        *(("step", 3), ("step", 4), ("epoch", 2)),
    ]
    losses = [line["loss"] for line in run.metrics if "loss" in line]
    assert [call[2] for call in calls if call[0] == "step"] == pytest.approx(losses)
    assert calls[-1][2] == 8


def test_what_a_run_tells(own):
    run, network, _ = own
    assert repr(run) == f"sslfast.Run('{run.path}')"
    assert run.recipe == read_recipe(run.path / "config.yaml")
    assert [line["knn_initial_top1"] for line in run.metrics if "knn_top1" in line] == [
        run.metrics[0]["knn_top1"]
    ] * 3
    assert (run.encoder.feature_dim, run.encoder.side, run.encoder.training) == (8, 16, False)
    assert run.encoder is run.encoder
    assert not torch.equal(run.encoder.module.convolution.weight, network.convolution.weight)


def test_a_notebook_shows_figures_and_curves(own):
    shown = html.unescape(own[0]._repr_html_())
    assert shown.startswith('<iframe srcdoc="<!DOCTYPE html>')
    assert "kNN, initial weights" in shown
    assert "Training loss" in shown


def test_evaluation_and_report_take_the_runs_own_images(own):
    run, _, _ = own
    evaluation = run.evaluate("knn", k=[3, 1])
    assert (evaluation.data, evaluation.own_split) == (run.recipe.data.source, True)
    assert evaluation.options["k"] == [3, 1]
    assert {row["encoder"] for row in evaluation.rows} == {"pre-trained", "random initialization"}
    assert "Augmented views" in run.report().read_text()
    others = run.evaluate("knn", (images(), LABELS // 2), k=1, random_baseline=False)
    assert others.data != evaluation.data
    assert (others.own_split, others.classes) == (False, 2)


def test_what_was_given_from_python_has_to_be_given_again(copied):
    network, data = Network(), (images(), LABELS)
    with pytest.raises(UsageError, match=r"python:Network-\w{8}: is a module .* give the same one again"):
        _ = sslfast.Run(copied).encoder
    with pytest.raises(UsageError, match=r"python:ndarray-\w{8}: are images .* give them again, as data="):
        sslfast.Run(copied, encoder=network).evaluate("knn")
    with pytest.raises(UsageError, match="they are as many as those of .*, but others"):
        sslfast.Run(copied, encoder=network, data=(255 - images(), LABELS)).resume()
    with pytest.raises(UsageError, match="is a module"):
        sslfast.Run(copied, encoder=torch.nn.Conv2d(3, 8, 3), data=data).resume()


def test_a_run_goes_on_and_its_encoder_with_it(copied):
    run = sslfast.Run(copied, encoder=Network(), data=(images(), LABELS))
    before = run.encoder.module.convolution.weight.clone()
    steps = []
    assert run.resume(extend=3, on_step=lambda step, _: steps.append(step), **{"train.log_every": 5}) is run
    assert steps == [5, 6]
    assert (run.recipe.train.epochs, run.recipe.train.log_every) == (3, 5)
    assert not torch.equal(run.encoder.module.convolution.weight, before)


def test_a_module_loads_a_run_of_it_and_a_state_dict(own, tmp_path):
    run, network, _ = own
    loaded = sslfast.load_encoder(run.path, architecture=Network())
    torch.testing.assert_close(loaded.state_dict(), run.encoder.state_dict())
    torch.save({"backbone": network.state_dict()}, tmp_path / "network.pth")
    other = sslfast.load_encoder(tmp_path / "network.pth", architecture=Network())
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(other(x), network(x).mean((2, 3)))


def test_a_directory_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run of sslfast \(no config.yaml\)"):
        sslfast.Run(tmp_path)
