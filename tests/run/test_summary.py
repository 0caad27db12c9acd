"""The summary of a run comes back as it was written."""

import json
import os

import pytest

from sslfast.errors import TrainingError, UsageError
from sslfast.run.summary import Fault, RunSummary

SUMMARY = RunSummary(
    steps=200,
    epochs=4,
    skipped_steps=1,
    loss=5.5,
    chance_loss=5.5,
    std=None,
    even_std=None,
    knn_top1=0.25,
    knn_initial_top1=0.5,
    val_images=100,
    judged=True,
    faults=[Fault("loss_at_chance", "the loss ends at 5.500"), Fault("knn_below_initial", "kNN ends at 25.0%")],
)


def test_it_comes_back(tmp_path):
    path = tmp_path / "summary.json"
    SUMMARY.save(path)
    assert RunSummary.load(path) == SUMMARY
    values = json.loads(path.read_text())
    assert values["faults"][0] == {"kind": "loss_at_chance", "message": "the loss ends at 5.500"}
    assert values["std"] is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"faults": 3}', '{"faults": []}', "\xff"])
def test_something_else_is_refused(tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"summary\.json: not the summary of a run"):
        RunSummary.load(path)


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match=r"summary\.json: cannot write the summary: No space left on device"):
        SUMMARY.save(tmp_path / "summary.json")
