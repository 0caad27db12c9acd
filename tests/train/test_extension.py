"""Runs that go on to more epochs than they were to have: `pretrain --resume RUN --extend train.epochs=N`."""

import re
import shutil

import pytest

from sslfast.cli import main
from sslfast.commands.pretrain import pretrain
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.run.environment import read_starts
from sslfast.run.summary import RunSummary
from sslfast.train.trainer import Trainer
from tests.train.runs import assert_same, lines, signal_after, state, tiny

EPOCH = 5
SETTINGS = ("train.epochs=2", "train.knn_every=0", "method.momentum_schedule=cosine")
EXTEND = "train.epochs=4"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Makes a run of two epochs."""
    run = tmp_path_factory.mktemp("runs") / "two"
    pretrain(tiny(*SETTINGS), run)
    return run


@pytest.fixture(scope="module")
def extended(finished, tmp_path_factory):
    """Extends the run of two epochs to four."""
    run = shutil.copytree(finished, tmp_path_factory.mktemp("runs") / "four")
    assert main(["pretrain", "--resume", str(run), "--extend", EXTEND]) == 0
    return run


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_it_goes_on_by_the_schedule_of_all_its_epochs(finished, extended):
    rates = {line["step"]: line["lr"] for line in lines(extended)}
    assert list(rates) == list(range(1, 4 * EPOCH + 1))
    assert lines(extended)[: 2 * EPOCH] == lines(finished)
    peak = tiny().optim.lr * 32 / 256
    assert rates[2 * EPOCH + 1] == pytest.approx(peak / 2)  # half way down the cosine of four epochs
    assert rates[2 * EPOCH] < peak / 20  # at the end of that of two
    assert state(extended)["step"] == 4 * EPOCH


def test_it_says_so_in_one_line(extended):
    (line,) = [line for line in (extended / "train.log").read_text().splitlines() if "extended" in line]
    said = (
        r"extended from 2 to 4 epochs at step 10: from here on the schedule is that of 20 steps, not 10, by which "
        r"the learning rate goes from 0 to 0\.000188, the momentum of the moving average from 1 to 0\.75"
    )
    assert re.search(said, line)


def test_config_summary_and_record_are_those_of_the_new_end(finished, extended):
    before, after = (read_recipe(run / "config.yaml") for run in (finished, extended))
    assert after == load_recipe(before, [EXTEND])
    assert [RunSummary.load(run / "summary.json").epochs for run in (finished, extended)] == [2, 4]
    starts = read_starts(extended / "environment.jsonl")
    assert [(start.step, start.epochs) for start in starts] == [(0, 2), (2 * EPOCH, 4)]
    weights = [(run / "backbone.safetensors").read_bytes() for run in (finished, extended)]
    assert weights[0] != weights[1]


def test_killed_in_between_it_goes_on_to_the_new_end_and_is_the_same(copied, extended, monkeypatch):
    with monkeypatch.context() as patch:
        signal_after(patch, 13)
        with pytest.raises(SystemExit, match="143"):
            pretrain(None, copied, resume=True, extend=EXTEND)
    assert RunSummary.load(copied / "summary.json").epochs == 2  # with the backbone of that end
    pretrain(None, copied, resume=True)
    assert_same(state(copied), state(extended))
    assert (copied / "backbone.safetensors").read_bytes() == (extended / "backbone.safetensors").read_bytes()


@pytest.mark.parametrize("again", [None, EXTEND])
def test_killed_before_its_first_checkpoint_it_is_extended_all_the_same(copied, extended, monkeypatch, again):
    """Also by the same command once more, as a job's script gives it."""
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "fit", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pretrain(None, copied, resume=True, extend=EXTEND)
    assert state(copied)["config"]["train"]["epochs"] == 2
    pretrain(None, copied, resume=True, extend=again)
    assert_same(state(copied), state(extended))


def test_a_run_under_way_is_extended_from_where_it_is(tmp_path, monkeypatch):
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        signal_after(patch, 7)
        with pytest.raises(SystemExit, match="143"):
            pretrain(tiny(*SETTINGS), run)
    pretrain(None, run, resume=True, extend="train.epochs=3")
    assert [(start.step, start.epochs) for start in read_starts(run / "environment.jsonl")] == [(0, 2), (7, 3)]
    assert state(run)["step"] == 3 * EPOCH


@pytest.mark.parametrize(
    ("extend", "overrides", "message"),
    [
        ("train.epochs=1", [], "--extend train.epochs=1: expected more than the 2 epochs of the run"),
        ("optim.lr=0.5", [], "--extend 'optim.lr=0.5': expected train.epochs=N, as a run is extended by epochs"),
        ("4", [], "--extend '4': expected train.epochs=N"),
        ("train.epochs", [], "'train.epochs': expected key.sub=value"),
        ("train.epochs=many", [], "train.epochs: input should be a valid integer, got 'many'"),
        (EXTEND, ["train.epochs=3"], "--extend train.epochs=4 and train.epochs=3 both name the epochs; give one"),
        (EXTEND, ["optim.lr=0.5"], "the run was started otherwise: optim.lr was 0.003 and is 0.5; use another"),
    ],
)
def test_what_no_run_is_extended_by(copied, extend, overrides, message):
    before = (copied / "config.yaml").read_text()
    with pytest.raises(UsageError, match=message):
        pretrain(None, copied, overrides=overrides, resume=True, extend=extend)
    assert (copied / "config.yaml").read_text() == before


def test_more_epochs_are_not_given_by_the_way(copied):
    for recipe, overrides in ((None, [EXTEND]), (tiny(*SETTINGS, EXTEND), [])):
        with pytest.raises(UsageError, match="started otherwise: train.epochs was 2 and is 4; use another --out"):
            pretrain(recipe, copied, overrides=overrides, resume=True)


def test_a_run_without_a_checkpoint_is_not_extended(copied, tmp_path):
    shutil.rmtree(copied / "checkpoints")
    for run in (copied, tmp_path / "none"):
        with pytest.raises(UsageError, match=rf"--extend {EXTEND}: {run} holds no checkpoint to go on from"):
            pretrain("moco_v2_shapes", run, resume=True, extend=EXTEND)
    assert not (tmp_path / "none").exists()


def test_what_does_not_go_on_is_not_extended(finished, capsys):
    assert main(["pretrain", "moco_v2_shapes", "--out", str(finished), "--overwrite", "--extend", EXTEND]) == 2
    assert f"--extend {EXTEND}: is for a run that goes on; give --resume and the run's" in capsys.readouterr().err


def test_the_extended_recipe_is_printed(finished, capsys):
    assert main(["pretrain", "--resume", str(finished), f"--extend={EXTEND}", "--print-config"]) == 0
    assert "epochs: 4" in capsys.readouterr().out
    assert read_recipe(RunDirectory(finished).config).train.epochs == 2
