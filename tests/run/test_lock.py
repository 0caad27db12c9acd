"""One process at a time has a run's directory, and a dead one, however it died, has none."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys

import pytest

from sslfast.errors import UsageError
from sslfast.locks import WITHOUT_LOCKS
from sslfast.run import lock
from sslfast.run.lock import locked

HOLD = """
import multiprocessing, os, subprocess, sys, time
from pathlib import Path
from sslfast.run.lock import locked
with locked(Path(sys.argv[1])):
    match sys.argv[2]:
        case "fork":
            running = multiprocessing.get_context("fork").Event()
            child = multiprocessing.get_context("fork").Process(target=lambda: running.set() or time.sleep(60))
            child.start()
            running.wait()
        case "exec":
            child = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL)
    print(child.pid if sys.argv[2] != "alone" else 0, flush=True)
    time.sleep(60)
"""


def hold(folder, children="alone"):
    """Starts a process that holds the lock; returns it and the id of its child."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), children], stdout=subprocess.PIPE, text=True
    )
    return holder, int(holder.stdout.readline())


def end(holder, child):
    holder.kill()
    holder.wait()
    holder.stdout.close()
    if child:
        os.kill(child, signal.SIGKILL)


def test_a_second_process_is_told_who_has_it(tmp_path):
    holder, child = hold(tmp_path)
    try:
        with pytest.raises(UsageError) as error, locked(tmp_path):
            pass
        assert str(error.value) == (
            f"--out {tmp_path}: process {holder.pid} on {socket.gethostname()} runs in it; wait for its end, "
            "stop it, or choose another directory"
        )
    finally:
        end(holder, child)


@pytest.mark.parametrize("children", ["alone", "fork", "exec"])
def test_a_killed_process_holds_nothing(tmp_path, children):
    """Its children live on: workers of a data loader, for example."""
    holder, child = hold(tmp_path, children)
    try:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with locked(tmp_path):
            assert (tmp_path / lock.NAME).read_text() == f"{os.getpid()} {socket.gethostname()}"
        assert list(tmp_path.iterdir()) == []
    finally:
        end(holder, child)


def test_the_same_process_has_it_once(tmp_path):
    with locked(tmp_path):
        with pytest.raises(UsageError, match=f"process {os.getpid()} on .* runs in it"), locked(tmp_path):
            pass
        with locked(tmp_path / "another"):
            pass
        with pytest.raises(UsageError, match="runs in it"), locked(tmp_path):
            pass
    with locked(tmp_path):
        pass


class InChild(Exception):
    """Leaves the block in a forked process."""


def test_a_child_that_ends_takes_nothing_from_its_parent(tmp_path):
    try:
        with locked(tmp_path):
            if (child := os.fork()) == 0:
                raise InChild
            os.waitpid(child, 0)
            with pytest.raises(UsageError, match="runs in it"), locked(tmp_path):
                pass
    except InChild:
        os._exit(0)


def test_what_is_made_for_the_lock_goes_with_it(tmp_path):
    with locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / lock.NAME).is_file()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "config.yaml").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["config.yaml"]


def test_a_lock_that_is_removed_while_it_is_taken_is_none(tmp_path, monkeypatch):
    def removed_first(descriptor, operation):
        monkeypatch.undo()
        (tmp_path / lock.NAME).unlink()

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with locked(tmp_path), pytest.raises(UsageError, match="runs in it"), locked(tmp_path):
        pass


@pytest.mark.parametrize("code", WITHOUT_LOCKS)
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, caplog, code):
    def refused(descriptor, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refused)
    with locked(tmp_path):
        assert f"{tmp_path}: its file system has no locks" in caplog.text


def test_a_path_that_is_too_long_is_refused_and_not_left(tmp_path):
    folder = tmp_path / "/".join(["x" * 200] * 19)
    folder /= "y" * (4090 - len(str(folder)))  # of 4095 bytes that Linux takes, run.lock needs 9 more
    with pytest.raises(UsageError, match="cannot write: File name too long"), locked(folder):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "link", "no permission"])
def test_a_place_that_cannot_be_locked_is_refused(tmp_path, monkeypatch, kind):
    path = tmp_path / lock.NAME
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            (tmp_path / "thesis.txt").write_text("years of work")
            path.symlink_to(tmp_path / "thesis.txt")
        case "no permission":
            monkeypatch.setattr(os, "open", failing(errno.EROFS))
    with pytest.raises(UsageError, match=f"--out {tmp_path}: cannot write: [A-Z]"), locked(tmp_path):
        pass
    assert kind != "link" or (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(errno.ENOSPC))
        with pytest.raises(UsageError, match="cannot write: No space left on device"), locked(tmp_path / "run"):
            pass
    with locked(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []


def failing(code):
    def fail(*args):
        raise OSError(code, os.strerror(code))

    return fail
