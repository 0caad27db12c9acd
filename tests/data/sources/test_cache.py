"""The cache's locks: one process prepares a thing at a time, and what a killed one left goes."""

import errno
import fcntl
import multiprocessing
import os
import signal
import threading
from contextlib import suppress

import pytest

from sslfast.data.sources.cache import cache_folder, partial_folder
from sslfast.errors import UsageError

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_folder()


def hold(name, ready):
    with partial_folder(name) as folder:
        (folder / "half").touch()
        ready.set()
        signal.pause()


@pytest.fixture
def holder():
    """Gives a function that starts a process with a partial folder of a name, which is killed at the end."""
    started = []

    def start(name):
        ready = FORK.Event()
        process = FORK.Process(target=hold, args=(name, ready), daemon=True)
        process.start()
        assert ready.wait(30)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_a_partial_folder_is_new_and_goes(cache):
    with partial_folder("set") as folder:
        (folder / "1.png").touch()
        assert folder.parent == cache
    with suppress(RuntimeError), partial_folder("set") as folder:
        assert not list(folder.iterdir())
        raise RuntimeError
    assert not list(cache.iterdir())


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(cache, holder):
    living, dead = holder("living"), holder("dead")
    dead.kill()
    dead.join()
    (cache / ".killed before it had a folder.lock").touch()
    assert len(list(cache.iterdir())) == 5
    with partial_folder("set"):
        assert {path.name for path in cache.glob(".*.partial")} == {".living.partial", ".set.partial"}
    assert {path.name for path in cache.iterdir()} == {".living.partial", ".living.lock"}
    assert (cache / ".living.partial" / "half").exists()
    assert living.is_alive()


def test_who_wants_the_same_waits_until_the_holder_dies(cache, holder, caplog):
    process = holder("set")
    entered = threading.Event()

    def enter():
        with partial_folder("set") as folder:
            assert not list(folder.iterdir())
            entered.set()

    waiting = threading.Thread(target=enter)
    with caplog.at_level("INFO"):
        waiting.start()
        assert not entered.wait(0.2)
        process.kill()
        waiting.join(30)
    assert entered.is_set()
    assert "waiting for another process" in caplog.text
    assert not list(cache.iterdir())


def test_many_processes_take_turns(cache):
    """None meets another's file, whoever removes the lock's file meanwhile."""

    def take_turns():
        for _ in range(50):
            with partial_folder("set") as folder:
                os.close(os.open(folder / "mine", os.O_CREAT | os.O_EXCL))

    processes = [FORK.Process(target=take_turns) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert not list(cache.iterdir())


def test_a_file_system_without_locks(monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UsageError, match="cannot lock .*No locks available.*XDG_CACHE_HOME"):
        partial_folder("set").__enter__()
