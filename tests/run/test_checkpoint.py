"""Checkpoints survive being killed, are refused when damaged, and bring every generator back."""

import errno
import os
import pickle
import random
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sslfast.errors import TrainingError, UsageError
from sslfast.run import checkpoint
from sslfast.run.checkpoint import Checkpoints, load, save


def state(step: int) -> dict:
    return {"step": step, "weights": {"w": torch.full((1000,), float(step))}, "list": [1, 2.5, None, "s", (True,)]}


def assert_is(found: dict, step: int) -> None:
    expected = state(step)
    torch.testing.assert_close(found.pop("weights"), expected.pop("weights"), rtol=0, atol=0)
    assert found == expected


def assert_latest(checkpoints: Checkpoints, step: int, name: str = "last.pt") -> None:
    path, found = checkpoints.latest()
    assert path == checkpoints.folder / name
    assert_is(found, step)


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(tmp_path):
    save(tmp_path / "a.pt", state(3))
    assert_is(load(tmp_path / "a.pt"), 3)
    assert names(tmp_path) == ["a.pt"]


def test_the_format_of_files_that_users_have(tmp_path):
    """Neither its name nor its version may change with the code."""
    torch.save({"format": "sslfast.checkpoint", "version": 1, "state": state(3)}, tmp_path / "a.pt")
    assert_is(load(tmp_path / "a.pt"), 3)
    save(tmp_path / "b.pt", state(3))
    content = torch.load(tmp_path / "b.pt", weights_only=True)
    assert (content["format"], content["version"]) == ("sslfast.checkpoint", 1)


@pytest.mark.parametrize("value", [np.float64(1), np.zeros(2), {1, 2}, torch.nn.Linear(1, 1), object()])
def test_what_could_not_be_read_back_is_not_written(tmp_path, value):
    with pytest.raises(TypeError, match=r"at state\['a'\]\[1\]"):
        save(tmp_path / "a.pt", {"a": [0, value]})
    assert names(tmp_path) == []


@pytest.mark.parametrize("killed_in", ["fsync", "replace"])
def test_a_kill_while_saving_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, killed_in):
    class Killed(BaseException):
        """The end of the process."""

    def killed(*args, **kwargs):
        raise Killed

    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, state(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, killed_in, killed)
        patch.setattr(Path, "unlink", killed)  # SIGKILL lets nothing clean up
        with pytest.raises(Killed):
            checkpoints.save(2, state(2))
    assert "last.pt.tmp" in names(tmp_path)
    assert_latest(checkpoints, 1)
    (tmp_path / "step-00000002.pt.tmp").touch()  # as where there are no hard links
    checkpoints.save(3, state(3))
    assert names(tmp_path) == ["last.pt", "step-00000001.pt", "step-00000003.pt"]


def test_a_kill_after_last_is_written_costs_no_step(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, state(1))

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(2, state(2))
    assert_latest(checkpoints, 2)


def test_a_full_disk_is_one_sentence_and_harms_nothing(tmp_path):
    path = tmp_path / "a.pt"
    save(path, state(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(TrainingError, match=r"a\.pt: cannot write the checkpoint \(.*File too large\)"):
            save(path, state(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["a.pt"]
    assert_is(load(path), 1)


@pytest.mark.parametrize("call", ["mkdir", "unlink"])
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, call):
    def refused(path, *args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, call, refused)
    with pytest.raises(
        TrainingError, match=rf"^{tmp_path}.*: cannot write the checkpoint: Read-only file system; "
    ):
        Checkpoints(tmp_path, keep=1).save(1, state(1))


def test_what_does_not_fit_into_memory_is_not_called_damaged(tmp_path, monkeypatch):
    def full(*args, **options):
        raise MemoryError

    save(tmp_path / "a.pt", state(1))
    monkeypatch.setattr(torch, "load", full)
    with pytest.raises(MemoryError):
        load(tmp_path / "a.pt")


def flip_a_weight(path):
    data = bytearray(path.read_bytes())
    place = data.index(torch.full((10,), 1.0).numpy().tobytes())
    data[place] ^= 1
    path.write_bytes(data)


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("notes.txt", "nothing")


class Malicious:
    def __reduce__(self):
        return os.system, ("false",)


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("weights"),
    "first half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "last byte missing": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "changed weight": flip_a_weight,
    "pickle": lambda path: path.write_bytes(pickle.dumps({"format": checkpoint.FORMAT})),
    "zip": archive,
    "tensor": lambda path: torch.save(torch.zeros(3), path),
    "state_dict": lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path),
    "code": lambda path: torch.save({"format": checkpoint.FORMAT, "version": 1, "state": Malicious()}, path),
    "no state": lambda path: torch.save({"format": checkpoint.FORMAT, "version": 1}, path),
    "a list": lambda path: torch.save({"format": checkpoint.FORMAT, "version": 1, "state": [1]}, path),
    "a version of another kind": lambda path: torch.save(
        {"format": checkpoint.FORMAT, "version": torch.zeros(9), "state": {}}, path
    ),
    "random bytes": lambda path: path.write_bytes(random.Random(0).randbytes(5000)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_and_foreign_files_are_refused_in_a_sentence(tmp_path, kind):
    path = tmp_path / "a.pt"
    save(path, state(1))
    DAMAGE[kind](path)
    with pytest.raises(UsageError, match=r"a\.pt: not a checkpoint of sslfast, or damaged") as error:
        load(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"a\.pt: cannot read the checkpoint: No such file"):
        load(tmp_path / "a.pt")
    with pytest.raises(UsageError, match=r"cannot read the checkpoint: Is a directory"):
        load(tmp_path)


def test_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    save(tmp_path / "a.pt", state(1))
    monkeypatch.undo()
    with pytest.raises(UsageError, match="version 2, and this sslfast reads version 1"):
        load(tmp_path / "a.pt")


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_rotation_keeps_the_latest(tmp_path, keep):
    checkpoints = Checkpoints(tmp_path / "c", keep)
    for step in (5, 10, 15):
        checkpoints.save(step, state(step))
        assert_is(load(tmp_path / "c" / "last.pt"), step)
    kept = [f"step-{step:08d}.pt" for step in (5, 10, 15)][3 - keep :]
    assert names(tmp_path / "c") == ["last.pt", *kept]
    for name, step in zip(reversed(kept), (15, 10), strict=False):
        assert_is(load(tmp_path / "c" / name), step)


def test_the_newest_is_stored_once(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(5, state(5))
    assert os.path.samefile(tmp_path / "last.pt", tmp_path / "step-00000005.pt")


def test_without_hard_links_the_newest_is_written_twice(tmp_path, monkeypatch):
    def refused(*args):
        raise PermissionError

    monkeypatch.setattr(os, "link", refused)
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(5, state(5))
    assert_is(load(tmp_path / "step-00000005.pt"), 5)


def test_steps_done_again_replace_those_of_before(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (5, 10, 15, 8):
        checkpoints.save(step, state(step))
    assert names(tmp_path) == ["last.pt", "step-00000008.pt"]
    checkpoints.save(8, state(9))
    assert_is(load(tmp_path / "last.pt"), 9)
    assert os.path.samefile(tmp_path / "last.pt", tmp_path / "step-00000008.pt")


def test_latest_passes_over_damaged_files_and_names_them(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path, keep=3)
    assert checkpoints.latest() is None
    for step in (5, 10):
        checkpoints.save(step, state(step))
    (tmp_path / "last.pt").write_bytes(b"")  # and with it step 10, the same file
    assert_latest(checkpoints, 5, "step-00000005.pt")
    assert "last.pt: not a checkpoint" in caplog.text

    (tmp_path / "step-00000005.pt").write_bytes(b"")
    with pytest.raises(UsageError, match="none of its 3 checkpoints can be read"):
        checkpoints.latest()
