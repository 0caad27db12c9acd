"""Runs that start from existing weights: what takes them, what the run says, and how it goes on."""

import json
import logging
import shutil

import pytest
import torch

from sslfast.commands.pretrain import pretrain
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import RunDirectory
from sslfast.run.environment import read_starts
from sslfast.run.summary import RunSummary
from sslfast.train.step import build_method
from sslfast.weights.initial import initial_weights
from tests.methods.runs import small_recipe
from tests.train.runs import assert_same, lines, signal_after, state, tiny
from tests.weights.networks import perturbed

CPU = torch.device("cpu")
QUICK = ("train.epochs=2", "train.knn_every=1")


def write_weights(path, seed=0):
    """Writes a file of an encoder that fits the run of `tiny`, whose weights are other ones for each seed."""
    torch.manual_seed(100 + seed)
    torch.save(build_encoder(tiny().encoder).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """Makes a run from weights that was not interrupted, its weights' file, and what it said."""
    folder, said = tmp_path_factory.mktemp("runs"), []

    class Said(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

    handler, logger = Said(), logging.getLogger("sslfast")
    logger.addHandler(handler)
    path = write_weights(folder / "weights.pth")
    try:
        pretrain(tiny(*QUICK, f"encoder.weights={path}"), folder / "run")
    finally:
        logger.removeHandler(handler)
    return folder / "run", path, said


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_encoder_and_its_momentum_copy_start_from_them_and_the_heads_at_random(name):
    recipe = small_recipe(name)
    given = build_encoder(recipe.encoder, mean=recipe.data.mean, std=recipe.data.std)
    weights = perturbed(given)
    plain, method = (build_method(recipe, 64, CPU, initial) for initial in (None, weights))
    assert_same(dict(method.encoder.state_dict()), dict(weights))
    if (momentum_copy := method.momentum_copy()) is not None:
        targets, sources = momentum_copy.pairs()
        assert all(torch.equal(target, source) for target, source in zip(targets, sources, strict=True))
        copied = [target for target in targets if target.ndim == 4]  # convolutions, of the encoder alone
        assert any(torch.equal(target, weights[name]) for target in copied for name in weights)
    own = {id(parameter) for parameter in method.encoder.parameters()}
    heads = [key for key, value in method.named_parameters() if value.requires_grad and id(value) not in own]
    assert all(torch.equal(plain.get_parameter(key), method.get_parameter(key)) for key in heads)


def test_the_patch_projection_that_stays_is_that_of_the_weights():
    recipe = load_recipe("moco_v3_cifar10", ["encoder.name=vit_small", "encoder.width=0.03"])
    weights = perturbed(build_encoder(recipe.encoder))
    projection = build_method(recipe, 1000, CPU, weights).encoder.conv_proj
    assert torch.equal(projection.weight, weights["conv_proj.weight"])
    assert not projection.weight.requires_grad


def test_what_it_says_and_leaves(started):
    run, path, said = started
    assert f"initial weights: {path}; the heads' are random" in said
    assert [line for line in said if "(initial weights " in line]
    assert [line for line in said if "images: " in line and ", initial weights " in line]
    assert not any("random initialization" in line for line in said)
    first, *_ = lines(run)
    assert first["knn_top1"] == first["knn_initial_top1"]
    assert RunSummary.load(run / "summary.json").knn_initial_top1 == first["knn_top1"]
    (start,) = read_starts(run / "environment.jsonl")
    assert start.initial_weights == initial_weights(tiny(f"encoder.weights={path}")).digest


def test_its_first_accuracy_is_that_of_the_weights(started, tmp_path):
    """Trained weights, of the run itself, are a higher baseline than random ones are, or a lower: another one."""
    run, _, _ = started
    pretrain(tiny("train.epochs=1", "train.knn_every=1", f"encoder.weights={run}"), tmp_path / "run")
    assert lines(tmp_path / "run")[0]["knn_top1"] == lines(run)[-1]["knn_top1"]


def test_a_resumed_run_needs_no_file_of_them_and_is_the_same(started, tmp_path, monkeypatch):
    whole, original, _ = started
    path, run = shutil.copy(original, tmp_path / "w.pth"), tmp_path / "run"
    recipe = tiny(*QUICK, f"encoder.weights={path}")
    with monkeypatch.context() as patch:
        signal_after(patch, 7)
        with pytest.raises(SystemExit, match="143"):
            pretrain(recipe, run)
    path.unlink()
    pretrain(None, run, resume=True)
    resumed, expected = state(run), state(whole)
    for each in (resumed, expected):
        each["config"]["encoder"].pop("weights")
    assert_same(resumed, expected)
    assert [start.initial_weights is None for start in read_starts(run / "environment.jsonl")] == [False, True]


def test_other_weights_in_a_run_to_resume_are_refused(started, tmp_path):
    whole, path, _ = started
    other = write_weights(tmp_path / "other.pth", seed=1)
    with pytest.raises(UsageError, match=r"encoder\.weights was '.*weights\.pth' and is '.*other\.pth'"):
        pretrain(tiny(*QUICK, f"encoder.weights={other}"), whole, resume=True)
    run = shutil.copytree(whole, tmp_path / "run")  # killed before its first checkpoint
    shutil.rmtree(run / "checkpoints")
    content = path.read_bytes()
    try:
        shutil.copy(other, path)
        with pytest.raises(UsageError, match=r"from weights of the digest \w{16}, and those of .*weights.pth"):
            pretrain(None, run, resume=True)
    finally:
        path.write_bytes(content)
    pretrain(None, run, resume=True)
    assert_same(state(run), state(whole))


def test_an_accuracy_of_weights_that_was_not_taken_in_time_stays_unknown(tmp_path):
    """Their file need not be there any more, and random weights are no stand-in."""
    path, run = write_weights(tmp_path / "w.pth"), tmp_path / "run"
    pretrain(tiny("train.epochs=1", "train.knn_every=0", f"encoder.weights={path}"), run)
    path.unlink()
    pretrain(None, run, overrides=["train.knn_every=1"], resume=True)
    last = lines(run)[-1]
    assert "knn_top1" in last
    assert "knn_initial_top1" not in last
    assert RunSummary.load(run / "summary.json").knn_initial_top1 is None


def test_another_normalization_than_that_of_the_weights_is_warned_of(started, tmp_path, caplog):
    run, _, _ = started
    settings = ["train.epochs=1", "train.knn_every=0", f"encoder.weights={run}"]
    pretrain(tiny(*settings), tmp_path / "same")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    pretrain(tiny(*settings, "data.mean=[0.5,0.5,0.5]"), tmp_path / "other")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"encoder.weights={run}: were trained on images normalized by data.mean=[0.")
    assert "and this run has data.mean=[0.5, 0.5, 0.5] data.std=" in warning


def test_weights_of_another_architecture_leave_no_directory(started, tmp_path):
    run, _, _ = started
    with pytest.raises(UsageError, match=r"are of encoder\.width=0\.125, and the recipe has encoder\.width=0\.25"):
        pretrain(tiny("encoder.width=0.25", f"encoder.weights={run}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_names_that_an_earlier_sslfast_gave_are_read(started, tmp_path):
    """It had random weights alone: knn_random_top1, and random_knn in a checkpoint."""
    whole, _, _ = started
    run = RunDirectory(shutil.copytree(whole, tmp_path / "run"))
    for file in (run.metrics, run.summary):
        file.write_text(file.read_text().replace("knn_initial_top1", "knn_random_top1"))
    before = json.loads(run.summary.read_text())["knn_random_top1"]
    assert RunSummary.load(run.summary).knn_initial_top1 == before
    pretrain(None, run.path, resume=True)
    assert lines(run.path) == lines(whole)
