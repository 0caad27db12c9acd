"""The processes of a sweep: order, devices, failures, and signals."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sslfast.sweep import processes
from sslfast.sweep.commands import Commands
from sslfast.sweep.processes import Workers


@pytest.fixture
def as_python(monkeypatch):
    """Runs the arguments as Python's, in place of sslfast's."""
    monkeypatch.setattr(processes, "program", lambda arguments: [sys.executable, *arguments])


def cell(folder, name, first, second="pass"):
    """Makes commands that run two texts of Python."""
    return Commands(pretrain=["-c", first], evaluate=["-c", second], run=folder / name)


def test_the_program_is_sslfast():
    shown = subprocess.run(processes.program(["--help"]), capture_output=True, text=True, check=True).stdout
    assert shown.startswith("usage: sslfast")


def test_the_second_command_runs_after_the_first_and_output_is_kept(as_python, tmp_path):
    note = f"import os; print(os.environ['CUDA_VISIBLE_DEVICES'] or 'none', file=open(r'{tmp_path}/order', 'a'))"
    workers = Workers(["3"])
    workers.run({"a": cell(tmp_path, "lr-0.1", f"print('one'); {note}", note), "b": cell(tmp_path, "b", note)})
    assert workers.failed == {}
    assert (tmp_path / "order").read_text().split() == ["3"] * 3
    assert (tmp_path / "lr-0.1.log").read_text() == "one\n"


def test_cells_share_the_devices(as_python, tmp_path):
    """Two wait for each other, as one device alone would do for ever."""
    meet = (
        "import os, time\nopen(r'{0}/{1}', 'w')\n"
        "until = time.time() + 60\n"
        "while not os.path.exists(r'{0}/{2}'):\n  assert time.time() < until\n  time.sleep(.01)"
    )
    workers = Workers(["cpu", "cpu"])
    workers.run(
        {
            "a": cell(tmp_path, "a", meet.format(tmp_path, "x", "y")),
            "b": cell(tmp_path, "b", meet.format(tmp_path, "y", "x")),
        }
    )
    assert workers.failed == {}


def test_a_failure_is_named_and_the_others_go_on(as_python, tmp_path):
    workers = Workers([""])
    workers.run(
        {
            "bad": cell(
                tmp_path, "bad", "import sys; print('sslfast: no such data', file=sys.stderr); sys.exit(2)"
            ),
            "good": cell(tmp_path, "good", f"open(r'{tmp_path}/done', 'w')"),
        }
    )
    assert workers.failed == {"bad": f"-c: no such data ({tmp_path}/bad.log)"}
    assert (tmp_path / "done").exists()


def test_a_log_that_cannot_be_written_is_a_failure(as_python, tmp_path):
    (tmp_path / "file").touch()
    workers = Workers([""])
    workers.run({"a": cell(tmp_path / "file", "a", "pass")})
    assert workers.failed == {"a": f"{tmp_path}/file: File exists"}


def test_a_signal_stops_the_processes_and_starts_no_other(as_python, tmp_path):
    first = (
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open(r'{tmp_path}/saved', 'w'), sys.exit(143)))\n"
        f"open(r'{tmp_path}/started', 'w'); time.sleep(60)"
    )

    def send():
        while not (tmp_path / "started").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    workers = Workers(["cpu"])
    threading.Thread(target=send, daemon=True).start()
    never = cell(tmp_path, "b", f"open(r'{tmp_path}/second', 'w')")
    with pytest.raises(SystemExit) as stop:
        workers.run({"a": cell(tmp_path, "a", first), "b": never})
    assert stop.value.code == 143
    assert (tmp_path / "saved").exists()
    assert not (tmp_path / "second").exists()
    assert workers.failed == {}
