"""The settings among the arguments."""

import yaml

from tests.cli.command_line import run


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
