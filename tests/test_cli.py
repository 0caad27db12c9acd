"""The command line as a person meets it."""

import errno
import io
import os
import re
import subprocess
import sys

import pytest
import yaml

from sslfast.cli import main

TINY = ["data.limit=180", "data.batch_size=32", "encoder.width=0.125", "train.threads=1"]


def run(capsys, *argv):
    """Exit code, standard output and standard error of a command."""
    try:
        code = main(argv)
    except SystemExit as exit:
        code = exit.code or 0
    out, err = capsys.readouterr()
    return code, out, err


def test_print_config_shows_what_would_run_and_runs_nothing(capsys, tmp_path):
    out_dir = str(tmp_path / "run")
    settings = ["--data", "here", "--out", out_dir, "train.epochs=3", "--print-config"]
    code, out, _ = run(capsys, "pretrain", "moco_v2_shapes", *settings)
    recipe = yaml.safe_load(out)
    assert code == 0
    assert recipe["train"]["epochs"] == 3
    assert recipe["data"]["source"] == "here"
    assert not (tmp_path / "run").exists()


def test_overrides_may_stand_between_options(capsys):
    code, out, _ = run(capsys, "pretrain", "moco_v2_shapes", "train.epochs=3", "--print-config", "optim.lr=0.5")
    recipe = yaml.safe_load(out)
    assert (code, recipe["train"]["epochs"], recipe["optim"]["lr"]) == (0, 3, 0.5)


def test_the_later_of_two_values_of_a_setting_is_said_to_count(capsys, caplog):
    """As a script gives it, which adds to settings that are common to its runs."""
    settings = ["train.epochs=3", "optim.lr=1", "train.epochs=4"]
    code, out, _ = run(capsys, "pretrain", "moco_v2_shapes", *settings, "--print-config")
    assert (code, yaml.safe_load(out)["train"]["epochs"]) == (0, 4)
    assert caplog.messages == ["train.epochs=4 takes the place of train.epochs=3"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["pretrain", "moco_v3_shapes"], "did you mean 'moco_v2_shapes'"),
        (["pretrain", "moco_v2_shapes", "train.epoch=3"], "did you mean 'epochs'"),
        (["pretrain", "moco_v2_shapes", "epochs"], "unexpected argument 'epochs'"),
        (["pretrain", "moco_v2_shapes", "--epochs=3"], "unexpected argument '--epochs=3'"),
        (["pretrain", "moco_v2_shapes", "--data", "no/such/folder"], "no/such/folder"),
        (["pretrain", "moco_v2_shapes", "train.device=abacus"], "abacus"),
        (["pretrain"], "RECIPE"),
        (["pretrain", "moco_v2_shapes", "--data", "2024 #a"], "2024 #a"),
        (["pretrain", "moco_v2_shapes", "--out", "/dev/null/run", *TINY], "/dev/null/run"),
        (["info", "train.epochs=3"], "unexpected argument 'train.epochs=3'"),
        (["evaluate", "knn", "no/such/checkpoint", "--data", "shapes"], "no/such/checkpoint"),
        (["evaluate", "liner", "run", "--data", "shapes"], "no such evaluation; did you mean 'linear'?"),
        (["evaluate", "linear", "run", "--data", "shapes", f"seed={2**63}"], "seed: input should be less than"),
        (["evaluate", "knn", "run", "--data", "shapes", "device=meta"], "device 'meta'"),
        (["pretrain", "moco_v2_shapes", "--data", ""], "no data is named"),
        (
            ["pretrain", "moco_v2_shapes", "--resume", "--overwrite"],
            "--overwrite: not allowed with argument --resume",
        ),
        (["report", "no/such/run"], "no/such/run"),
        (["views", "moco_v2_shapes"], "--out"),
        (["views", "moco_v2_shapes", "--out", "sheet.jpg"], "--out sheet.jpg: expected the name of a .png file"),
        (
            ["views", "moco_v2_shapes", "--out", "no/such/folder/sheet.png"],
            "no/such/folder/sheet.png: cannot write",
        ),
        (["views", "moco_v2_shapes", "--out", "a.png", "data.views=byo1"], "did you mean 'byol'?"),
        (["views", "fast_moco_cifar10", "--data", "shapes", "--out", "a.png", "data.size=31"], "31 pixels cannot"),
        (["views", "moco_v2_shapes", "--out", "a.png", "--data", "no/such/folder"], "no/such/folder"),
        (["frobnicate"], "frobnicate"),
        (["pretain", "moco_v2"], "no command 'pretain'; did you mean 'pretrain'?"),
        (["pretrain", "moco_v2", "--epochs", "5"], "unexpected argument '--epochs'; did you mean train.epochs=5?"),
        (["pretrain", "moco_v2", "--batch-size=8"], "'--batch-size=8'; did you mean data.batch_size=8?"),
        (["pretrain", "moco_v2", "--momentum", "0"], "did you mean method.momentum=0 or optim.momentum=0?"),
        (
            ["evaluate", "knn", "run", "--data", "shapes", "--k=5"],
            "unexpected argument '--k=5'; did you mean k=5?",
        ),
        (
            ["evaluate", "knn", "runs/cifra", "--data", "shapes"],
            "no such file or folder; did you mean runs/cifar?",
        ),
        (["report", "runs/cifra"], "runs/cifra: no such file or folder; did you mean runs/cifar?"),
        (
            ["export", "runs/cifra", "--format", "torchvision", "--out", "a.safetensors"],
            "did you mean runs/cifar?",
        ),
        (
            ["export", "runs/cifar", "--format", "torchvision", "--out", "a.pth"],
            "--out a.pth: expected the name of a .safetensors file",
        ),
        (["pretrain", "moco_v2", "--out=~nouser/x"], "~nouser/x: there is no such user's home folder"),
        (["pretrain", "moco_v2", "--data=~nouser/x"], "~nouser/x: there is no such user's home folder"),
        (["pretrain", "~nouser/x.yaml"], "~nouser/x.yaml: there is no such user's home folder"),
        (["pretrain", "moco_v2", f"--out={'x' * 300}"], "cannot be a path here (File name too long)"),
        (["pretrain", "moco_v2", f"--data={'x' * 300}"], "cannot be a path here (File name too long)"),
        (["pretrain", "x" * 300], "cannot be a path here (File name too long)"),
        (["report", "x" * 300], "cannot be a path here (File name too long)"),
        (["pretrain", "moco_v2", "--data=a\0b"], "cannot be a path here"),
        (["pretrain", "moco_v2", "--data=shapes", "--data=b"], "b: no such file or folder"),
        (["pretrain", "moco_v2", "--dat=runs", "--data", "./runs"], "./runs: the images of runs, which are given"),
        (["pretrain", "moco_v2", "--out=a", "--out=b"], "argument --out: given twice, a and b; give it once"),
        (["export", "run", "--out=a", "--format=torchvision", "--format=torchvision"], "--format: given twice"),
        (["bench", "--op=a", "--op=b"], "argument --op: given twice, a and b"),
        (["pretrain", "moco_v2", "data.source=a", "--data=b"], "--data b and data.source=a both name the images"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "cifar").mkdir(parents=True)
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not out


def test_help_lists_recipes_and_settings(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, "pretrain", "--help")
    assert code == 0
    for text in (
        "moco_v2_cifar10",
        "optim.weight_decay=0.0001",
        "--resume",
        "Number of images in a step",
        "barlow_twins",
    ):
        assert text in out
    assert not re.search(r"^\w+: ", out.partition("settings, ")[2], re.MULTILINE)  # meanings stay in their column
    assert max(map(len, out.partition("recipes ")[2].splitlines())) <= 78  # of a terminal of 80


def test_help_of_evaluate_lists_its_settings(capsys):
    code, out, _ = run(capsys, "evaluate", "--help")
    assert code == 0
    for text in (
        "--random-baseline",
        "settings of knn",
        "  k=[200, 20] ",
        "settings of linear",
        "  protocol=features ",
    ):
        assert text in out


def test_an_interrupt_is_one_line_and_exit_code_130(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("sslfast.commands.info.describe", interrupted)
    code, out, err = run(capsys, "info")
    assert (code, out) == (130, "")
    assert err.endswith("sslfast: interrupted\n")  # nothing that goes on
    assert len(err.splitlines()) == 1


def test_a_home_folder_is_found_in_every_path(capsys, tmp_path, monkeypatch):
    """A shell leaves `--out=~/x` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("method: {name: moco_v2}\n")
    code, out, _ = run(capsys, "views", "~/mine.yaml", "--out=~/views.png", *TINY)
    assert (code, out) == (0, f"{tmp_path}/views.png\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "note").touch()
    for argv, message in (
        (["report", "~/run"], "run: holds no run"),
        (["evaluate", "knn", "~/run", "--data", "shapes"], "run: holds no checkpoint"),
        (["export", "~/run", "--format", "torchvision", "--out=~/a.safetensors"], "run: holds no checkpoint"),
        (["pretrain", "moco_v2_shapes", "--out=~/note"], "note: holds files that are no run's"),
    ):
        assert f"{tmp_path}/{message}" in run(capsys, *argv)[2]
    assert not (tmp_path / "~").exists()


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


def test_messages_show_names_escaped(capsys, tmp_path):
    name = f"{tmp_path}/x\x1b[31m\n\udcb4"
    for argv in (
        ["pretrain", "moco_v2_shapes", "--data", name],
        ["evaluate", "knn", name, "--data", "shapes"],
        ["report", name],
        ["list", name],
        ["pretrain", name],
    ):
        code, out, err = run(capsys, *argv)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert r"/x\x1b[31m\n\udcb4" in err


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


def test_help_does_not_wait_for_torch():
    program = (
        "import sys; from sslfast.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
