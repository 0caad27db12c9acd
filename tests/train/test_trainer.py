"""The trainer: what a run leaves, resumption, interruption, and steps that go wrong."""

import errno
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.utils.tensorboard import SummaryWriter

from sslfast.commands import pretrain as command
from sslfast.commands.pretrain import pretrain
from sslfast.data import open_data
from sslfast.encoders import build_encoder
from sslfast.errors import TrainingError, UsageError
from sslfast.methods import METHODS
from sslfast.methods.moco_v2 import MoCoV2
from sslfast.run.checkpoint import save
from tests.train.runs import STEPS, TINY, assert_same, lines, signal_after, state, tiny


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Makes an uninterrupted run."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    pretrain(tiny(), run)
    return run


def test_a_run_leaves_everything_behind(finished):
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert config["data"]["limit"] == 180
    steps = [line for line in lines(finished) if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
    assert all(line["lr"] > 0 and line["skipped_steps"] == 0 for line in steps)
    knn = [line for line in lines(finished) if "knn_top1" in line]
    assert [line["step"] for line in knn] == [0, STEPS]
    assert knn[0]["knn_top1"] == knn[1]["knn_initial_top1"]
    assert "kNN top-1 of 18 held-out images" in (finished / "train.log").read_text()
    assert list(finished.glob("events.out.*"))
    assert (finished / "checkpoints" / "last.pt").exists()
    encoder = build_encoder(tiny().encoder)
    encoder.load_state_dict(load_file(finished / "backbone.safetensors"))
    saved = state(finished)["method"]
    assert torch.equal(encoder.conv1.weight, saved["encoder.conv1.weight"])


def test_training_lowers_the_loss(tmp_path):
    # A fixed, easy task: few images, many epochs, and negatives that soon all come from the data.
    pretrain(tiny("train.epochs=12", "train.knn_every=0"), tmp_path / "run")
    losses = [line["loss"] for line in lines(tmp_path / "run")]
    assert sum(losses[-5:]) < sum(losses[5:10])


def test_two_runs_are_the_same_bits(finished, tmp_path):
    pretrain(tiny(), tmp_path / "again")
    assert_same(state(tmp_path / "again"), state(finished))


def test_another_seed_is_another_run(finished, tmp_path):
    pretrain(tiny("train.seed=1", "train.epochs=1", "train.knn_every=0"), tmp_path / "run")
    assert lines(tmp_path / "run")[0]["loss"] != next(line for line in lines(finished) if "loss" in line)["loss"]


@pytest.mark.parametrize("stop_after", [1, 5, 7])
def test_resumed_equals_uninterrupted(finished, tmp_path, monkeypatch, stop_after):
    """Stopped by a signal after a step in the first epoch, at its end, and in the second."""
    run = tmp_path / "run"
    signal_after(monkeypatch, stop_after)
    with pytest.raises(SystemExit) as exit:
        pretrain(tiny(), run)
    assert exit.value.code == 143
    assert state(run)["step"] == stop_after
    assert not (run / "backbone.safetensors").exists()

    torch.manual_seed(123)  # a new process would not have the old one's generators
    pretrain(tiny(), run, resume=True)
    assert_same(state(run), state(finished))
    deterministic = [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines(run)]
    expected = [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines(finished)]
    assert deterministic == expected


@pytest.mark.slow
def test_resumes_after_kill_9(finished, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "sslfast", "pretrain", "moco_v2_shapes", "--out", str(run), *TINY]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not (run / "checkpoints" / "last.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    subprocess.run([*command, "--resume"], check=True)
    assert_same(state(run), state(finished))


def test_resume_of_a_run_without_a_checkpoint_starts_it(finished, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text((finished / "config.yaml").read_text())
    (run / "metrics.jsonl").write_text('{"step": 0, "epoch": 0.0, "knn_top1": 0.5}\n{"step": 0, "ep')
    pretrain(tiny(), run, resume=True)
    assert_same(state(run), state(finished))
    assert len(lines(run)) == len(lines(finished))


def test_resume_of_a_finished_run_changes_nothing(finished, tmp_path):
    before = state(finished)
    pretrain(tiny(), finished, resume=True)
    assert_same(state(finished), before)


def test_nothing_is_overwritten_unasked(finished, tmp_path):
    with pytest.raises(UsageError, match="--resume, or replace it with --overwrite"):
        pretrain(tiny(), finished)
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "config.yaml").write_text("of: another program")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds files that are no run's"):
            pretrain(tiny(), tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "thesis.txt").unlink()
    with pytest.raises(UsageError, match="unknown key 'of'"):
        pretrain(tiny(), tmp_path, overwrite=True)


def test_a_run_that_cannot_be_replaces_none(finished):
    before = state(finished)
    with pytest.raises(UsageError, match="162 images"):
        pretrain(tiny("data.batch_size=512", "method.queue_size=512"), finished, overwrite=True)
    assert_same(state(finished), before)


def test_no_labels_held_out_means_no_knn(tmp_path):
    pretrain(tiny("data.val_fraction=0", "train.epochs=1"), tmp_path / "run")
    assert not any("knn_top1" in line for line in lines(tmp_path / "run"))
    assert "no kNN during training" in (tmp_path / "run" / "train.log").read_text()


def test_the_last_step_is_always_logged(tmp_path):
    pretrain(tiny("train.epochs=1", "train.knn_every=0", "train.log_every=100"), tmp_path / "run")
    assert [line["step"] for line in lines(tmp_path / "run")] == [5]


def test_overwrite_replaces_the_run(tmp_path):
    run = tmp_path / "run"
    quick = ("train.epochs=1", "train.knn_every=0")
    pretrain(tiny(*quick), run)
    (run / "report").mkdir()
    pretrain(tiny(*quick, "train.seed=5"), run, overwrite=True)
    assert not (run / "report").exists()
    assert state(run)["config"]["train"]["seed"] == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optim.lr=0.5", "optim.lr was 0.003 and is 0.5"),
        ("data.batch_size=16", "data.batch_size was 32 and is 16"),  # a step would mean other images
    ],
)
def test_resume_refuses_another_configuration(finished, change, message):
    with pytest.raises(UsageError, match=f"--resume: the run was started otherwise: {message}; use another --out"):
        pretrain(tiny(change), finished, resume=True)


def test_resume_refuses_the_checkpoint_of_another_configuration(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("temperature: 0.2", "temperature: 0.5"))
    with pytest.raises(UsageError, match="method.temperature was 0.2 and is 0.5"):
        pretrain(tiny("method.temperature=0.5"), run, resume=True)


def test_resume_refuses_weights_of_other_networks(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    saved = state(run)
    del saved["method"]["encoder.conv1.weight"]
    save(run / "checkpoints" / "last.pt", saved)
    with pytest.raises(UsageError, match=r"does not fit moco_v2 .*encoder\.conv1\.weight"):
        pretrain(tiny(), run, resume=True)


def test_resume_refuses_an_optimizer_that_does_something_else(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    saved = state(run)
    saved["optimizer"]["param_groups"][0]["maximize"] = True
    save(run / "checkpoints" / "last.pt", saved)
    with pytest.raises(
        UsageError, match=r"does not fit moco_v2 \(FusedAdamW: expected maximize=False, .*, got True"
    ):
        pretrain(tiny(), run, resume=True)


def test_a_damaged_line_of_the_metrics_costs_that_line(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    whole = lines(run)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 15, "ep\n')
    pretrain(tiny(), run, resume=True)
    assert lines(run) == whole


def test_a_full_disk_that_stops_the_metrics_is_one_sentence(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    with pytest.raises(TrainingError, match=r"run: cannot write the metrics \(No space left on device\)"):
        pretrain(tiny(), tmp_path / "run")


class Diverging(MoCoV2):
    """Gives a NaN loss in the steps of `bad`."""

    bad = range(0)

    def loss(self, batch):
        self.calls = getattr(self, "calls", 0) + 1
        loss, values, kept = super().loss(batch)
        return (loss * float("nan") if self.calls in self.bad else loss), values, kept


def test_a_step_that_is_not_finite_is_skipped_and_logged(tmp_path, monkeypatch):
    class OneBad(Diverging):
        bad = range(3, 4)

    monkeypatch.setitem(METHODS, "moco_v2", OneBad)
    pretrain(tiny("train.epochs=1", "train.knn_every=0"), tmp_path / "run")
    assert [line["skipped_steps"] for line in lines(tmp_path / "run")] == [0, 0, 1, 1, 1]
    assert "steps skipped since the last report: 1" in (tmp_path / "run" / "train.log").read_text()
    assert all(v.isfinite().all() for v in state(tmp_path / "run")["method"].values())


def test_many_bad_steps_stop_the_run_and_leave_a_good_checkpoint(tmp_path, monkeypatch):
    class AllBad(Diverging):
        bad = range(7, 1000)

    monkeypatch.setitem(METHODS, "moco_v2", AllBad)
    with pytest.raises(
        TrainingError, match="not finite in the last 4 steps up to step 10; the weights in .*checkpoints are from"
    ):
        pretrain(tiny("train.knn_every=0", "train.max_bad_steps=4"), tmp_path / "run")
    saved = state(tmp_path / "run")
    assert saved["step"] == 5
    assert all(v.isfinite().all() for v in saved["method"].values())


def test_a_run_that_stops_before_its_first_checkpoint_names_none(tmp_path, monkeypatch):
    class AllBad(Diverging):
        bad = range(1000)

    monkeypatch.setitem(METHODS, "moco_v2", AllBad)
    with pytest.raises(TrainingError, match="up to step 4; nothing is saved yet: lower optim.lr"):
        pretrain(tiny("train.knn_every=0", "train.max_bad_steps=4"), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_without_a_finite_step_is_a_failure_however_short(tmp_path, monkeypatch, epochs):
    """Shorter than max_bad_steps too: the weights are random."""

    class AllBad(Diverging):
        bad = range(1000)

    run, settings = tmp_path / "run", ["train.knn_every=0", f"train.epochs={epochs}", "train.log_every=100"]
    monkeypatch.setitem(METHODS, "moco_v2", AllBad)
    weights = {
        1: "nothing is saved yet",
        2: "no step was, and the weights in .* are still the initial ones",
    }
    with pytest.raises(TrainingError, match=f"in the last {5 * epochs} steps up to .*; {weights[epochs]}: lower"):
        pretrain(tiny(*settings), run)
    assert not (run / "backbone.safetensors").exists()


def test_a_run_that_was_saved_without_a_finite_step_is_a_failure_when_resumed(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "backbone.safetensors").unlink()
    saved = state(run)
    saved["guard"] = {"in_a_row": torch.tensor(STEPS), "total": torch.tensor(STEPS)}
    save(run / "checkpoints" / "last.pt", saved)
    with pytest.raises(TrainingError, match="no step was, and the weights in .* are still the initial ones"):
        pretrain(tiny("train.max_bad_steps=100"), run, resume=True)
    assert not (run / "backbone.safetensors").exists()


def test_data_that_changed_is_refused_at_resume(finished, tmp_path, monkeypatch):
    run = shutil.copytree(finished, tmp_path / "run")
    monkeypatch.setattr(command, "open_data", lambda data: open_data(data).subset(range(100)))
    with pytest.raises(UsageError, match="it was started on 180 of shapes, and these are 100"):
        pretrain(tiny(), run, resume=True)
    (run / "images.json.gz").unlink()  # as of an older sslfast
    with pytest.raises(UsageError, match="started on 162 images of shapes, which now has 90"):
        pretrain(tiny(), run, resume=True)
