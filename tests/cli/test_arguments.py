"""What is refused before a command runs, and what its help says."""

import subprocess
import sys

import pytest

import sslfast
from sslfast.cli.arguments import COMMANDS
from tests.cli.command_line import TINY, run


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["pretrain", "moco_v3_shapes"], "did you mean 'moco_v2_shapes'"),
        (["pretrain", "moco_v2_shapes", "train.epoch=3"], "did you mean 'train.epochs'"),
        (["pretrain", "moco_v2_shapes", "epochs"], "unexpected argument 'epochs'"),
        (["pretrain", "moco_v2_shapes", "--epochs=3"], "unexpected argument '--epochs=3'"),
        (["pretrain", "moco_v2_shapes", "--data", "no/such/folder"], "no/such/folder"),
        (["pretrain", "moco_v2_shapes", "train.device=abacus"], "abacus"),
        (["pretrain"], "RECIPE"),
        ([], "arguments are required: COMMAND; `sslfast --help` says what they are"),
        (["embed", "runs/a"], "are required: --data, --out; `sslfast embed --help` says what they are"),
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
        (["pretrain", "mocov2"], "recipe 'mocov2': no such recipe or file; did you mean 'moco_v2'?"),
        (["pretrain", "moco_v2", "epochs=5"], "unknown key 'epochs'; did you mean 'train.epochs'?"),
        (
            ["pretrain", "moco_v2", "method={dim: 8}"],
            "method.name is missing; `sslfast pretrain --help method` lists",
        ),
        (["evaluate", "knn", "run", "--data=shapes", "zz=1"], "'zz'; `sslfast evaluate --help knn` lists the 15"),
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
    assert len(err) < 400  # no dozens of names
    assert not out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_is_a_screen_and_names_the_parts_of_the_settings(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, command.name, "--help")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 80
    recipe = ["  method ", "  encoder ", "  data ", "  data.views ", "  optim ", "  train ", "  all "]
    parts = {"evaluate": ["  common ", "  knn ", "  linear ", "  all "], "embed": ["  limit=null "]}
    parts |= dict.fromkeys(("pretrain", "views", "sweep"), recipe)
    assert all(f"\n{part}" in out for part in parts.get(command.name, []))


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["pretrain", "--help", "method.swav"], "method.prototypes="),
        (["pretrain", "--help", "swav"], "method.prototypes="),
        (["pretrain", "--help=optim"], "optim.weight_decay=0.0001"),
        (["pretrain", "-h", "batch_size"], "Number of images in a step"),
        (["views", "--help", "data.views"], "data.views.0.blur="),
        (["sweep", "--help", "train"], "train.epochs="),
        (["evaluate", "--help", "knn"], "  k=[200, 20] "),
        (["evaluate", "--help", "linear"], "  protocol=features "),
        (["embed", "--help", "limit"], "  limit=null "),
    ],
)
def test_help_of_a_part_is_its_settings_alone(capsys, argv, text):
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    assert text in out
    assert "usage: " not in out


def test_help_of_a_part_that_does_not_exist(capsys):
    code, out, err = run(capsys, "pretrain", "--help", "method.swaw")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "did you mean 'method.swav'?" in err


def test_the_version(capsys):
    assert run(capsys, "--version") == (0, f"sslfast {sslfast.__version__}\n", "")


OF_HELP = [["--version"], ["--help"], *([command.name, "--help"] for command in COMMANDS)]
OF_PARTS = [["evaluate", "--help", "linear"], ["evaluate", "--help", "all"], ["embed", "--help", "limit"]]
OF_LISTS = [["list"], ["list", "moco"]]


def test_help_and_lists_do_not_wait_for_torch():
    program = f"""
import contextlib, io, sys
from sslfast.cli import main
for argv in {[*OF_HELP, *OF_PARTS, *OF_LISTS]}:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(argv)
    print(argv, bool(out.getvalue()), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = [f"{argv} True False" for argv in [*OF_HELP, *OF_PARTS, *OF_LISTS]]
    assert done.stdout.splitlines() == expected
