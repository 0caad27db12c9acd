"""The command line as a person meets it."""

import re
import subprocess
import sys

import pytest
import yaml
from PIL import Image

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
    config = yaml.safe_load(out)
    assert code == 0
    assert config["train"]["epochs"] == 3
    assert config["data"]["source"] == "here"
    assert not (tmp_path / "run").exists()


def test_overrides_may_stand_between_options(capsys):
    code, out, _ = run(capsys, "pretrain", "moco_v2_shapes", "train.epochs=3", "--print-config", "optim.lr=0.5")
    config = yaml.safe_load(out)
    assert (code, config["train"]["epochs"], config["optim"]["lr"]) == (0, 3, 0.5)


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
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, argv, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *argv)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not out


def test_views_draws_a_sheet(capsys, tmp_path):
    path = tmp_path / "sheet.png"
    arguments = ["views", "moco_v2_shapes", "--out", str(path), "data.limit=20", "data.views=simclr_cifar"]
    code, out, _ = run(capsys, *arguments)
    assert (code, out) == (0, f"{path}\n")
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"


def test_help_lists_recipes_and_settings(capsys):
    code, out, _ = run(capsys, "pretrain", "--help")
    assert code == 0
    for text in ("moco_v2_cifar10", "optim.weight_decay=0.0001", "--resume", "Images a step, ", "barlow_twins"):
        assert text in out
    assert not re.search(r"^\w+: ", out.partition("settings, ")[2], re.MULTILINE)  # a setting is one line


def test_help_of_evaluate_lists_its_settings(capsys):
    code, out, _ = run(capsys, "evaluate", "--help")
    assert code == 0
    for text in ("--random-baseline", "settings of knn", "  k=[200, 20] ", "settings of linear", "  form=sgd "):
        assert text in out


def test_an_interrupt_is_one_line_and_exit_code_130(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("sslfast.commands.info.describe", interrupted)
    code, out, err = run(capsys, "info")
    assert (code, out) == (130, "")
    assert "interrupted" in err
    assert len(err.splitlines()) == 1


def test_help_does_not_wait_for_torch():
    program = (
        "import sys; from sslfast.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")
