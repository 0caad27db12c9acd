"""What a command ends in: exit codes, and one line that says why."""

import errno
import io
import os
import signal
import subprocess
import sys

import pytest

from sslfast.cli import main
from sslfast.run.atomic import atomic_write
from tests.cli.command_line import TINY, run


def test_an_interrupt_is_one_line_and_exit_code_130(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("sslfast.commands.info.describe", interrupted)
    code, out, err = run(capsys, "info")
    assert (code, out) == (130, "")
    assert err.endswith("sslfast: interrupted\n")  # nothing that goes on
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_a_command_as_it_ends_training(capsys, monkeypatch, tmp_path, number):
    """What is half written goes, a second signal does not disturb that, and the handlers of before are back."""
    before, ended = signal.getsignal(number), []

    def signalled():
        with atomic_write(tmp_path / "result") as file:
            file.write(b"half")
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), number)
                ended.append(True)

    monkeypatch.setattr("sslfast.commands.info.describe", signalled)
    code, out, err = run(capsys, "info")
    assert (code, out, ended) == (143, "", [True])
    assert err.endswith("sslfast: interrupted\n")
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("argv", [["pretrain", "--help"], ["--help"], ["list"]])
def test_a_reader_that_has_gone_ends_a_command_quietly(argv):
    program = f"import sys; from sslfast.cli import main; sys.exit(main({argv}))"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program], env=buffered, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


NO_MEMORY = [
    MemoryError(),
    MemoryError("std::bad_alloc"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried\nto"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("Error in CPU operator `nvidia.dali.fn.decoders.image`:\nstd::bad_alloc"),
    RuntimeError("Storage size calculation overflowed with sizes=[2147483647, 2147483647]"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=str)
def test_a_lack_of_memory_is_one_line_that_says_what_to_lower(capsys, monkeypatch, error):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr("sslfast.commands.pretrain.pretrain", fail)
    monkeypatch.setattr("sslfast.commands.evaluate.evaluate", fail)
    for argv, remedy in (
        (["pretrain", "moco_v2_shapes"], "lower data.batch_size"),
        (["evaluate", "knn", "run", "--data", "shapes"], "lower limit"),
    ):
        code, out, err = run(capsys, *argv)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "not enough memory: " in err
        assert remedy in err


def test_what_asks_for_more_memory_than_there_can_be_is_one_line(capsys, tmp_path):
    argv = ["pretrain", "moco_v2_shapes", "--out", str(tmp_path / "run"), "method.hidden=2147483647", *TINY]
    code, _, err = run(capsys, *argv)
    assert (code, err.count("sslfast: not enough memory")) == (1, 1)
    assert not (tmp_path / "run").exists()


def test_another_failure_keeps_its_traceback(monkeypatch):
    def fail():
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("sslfast.commands.info.describe", fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main(["info"])


def test_a_file_that_the_system_refuses_is_one_line(capsys, monkeypatch):
    def fail():
        raise PermissionError(errno.EACCES, "Permission denied", "runs/a\nb")

    monkeypatch.setattr("sslfast.commands.info.describe", fail)
    assert run(capsys, "info") == (1, "", "sslfast: runs/a\\nb: Permission denied\n")


def test_a_full_disk_under_standard_output_is_one_line():
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", "import sys; from sslfast.cli import main; sys.exit(main(['--help']))"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, env=buffered, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "sslfast: cannot read or write: No space left on device\n")


def test_what_the_output_cannot_encode_is_escaped(monkeypatch, capsysbinary):
    monkeypatch.setattr("sslfast.commands.info.describe", lambda: "a\u00df\u4e2d")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert main(["info"]) == 0
    assert sys.stdout.buffer.getvalue() == b"a\xdf\\u4e2d\n"
