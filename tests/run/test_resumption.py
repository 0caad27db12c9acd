"""Which run is resumed, and by which settings."""

from pathlib import Path

import pytest

from sslfast import device
from sslfast.cli import main
from sslfast.commands.pretrain import pretrain
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe, to_yaml
from sslfast.run.directory import RunDirectory, read_recipe
from sslfast.run.resumption import named_run, recipe_to_run

TINY = ["data.limit=40", "data.batch_size=16", "optim.warmup_epochs=0", "train.epochs=1"]


@pytest.fixture
def started(tmp_path: Path) -> RunDirectory:
    """Makes a run that has written nothing but its configuration yet."""
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(to_yaml(load_recipe("moco_v2_shapes", [*TINY, "optim.lr=0.1"])))
    return run


@pytest.mark.parametrize("recipe", [None, "moco_v2_shapes"])
def test_a_run_is_resumed_by_its_own_settings(started: RunDirectory, recipe: str | None) -> None:
    stored = read_recipe(started.config)
    assert recipe_to_run(recipe, started, resume=True) == stored
    changed = recipe_to_run(recipe, started, ["train.log_every=3"], data="there", resume=True)
    assert changed == load_recipe(stored, ["train.log_every=3", "data.source=there"])


def test_settings_that_a_recipe_has_otherwise_are_named(
    started: RunDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that were given when it was started, or what a YAML file has become since; but none given again."""
    caplog.set_level("INFO", "sslfast")
    recipe_to_run("moco_v2_shapes", started, TINY, resume=True)
    (message,) = caplog.messages
    assert message.endswith("config.yaml; moco_v2_shapes has others of optim.lr")
    caplog.clear()
    recipe_to_run("moco_v2_shapes", started, [*TINY, "optim.lr=0.1", "data.views.1.blur=0.5"], resume=True)
    (message,) = caplog.messages
    assert message.endswith("has others of data.views.1.blur")
    caplog.clear()
    recipe_to_run("moco_v2_shapes", started, [*TINY, "optim.lr=0.1"], resume=True)
    recipe_to_run(None, started, resume=True)
    assert not caplog.messages


def test_a_run_of_another_method_is_not_resumed(started: RunDirectory) -> None:
    with pytest.raises(
        UsageError, match="holds a run of moco_v2, and simclr_cifar10 is of simclr; choose another"
    ):
        recipe_to_run("simclr_cifar10", started, resume=True)


def test_settings_that_a_run_may_not_change_are_refused_by_name(started: RunDirectory) -> None:
    with pytest.raises(UsageError, match=r"started otherwise: optim\.lr was 0\.1 and is 0\.2; use another"):
        pretrain(None, started.path, overrides=["optim.lr=0.2"], resume=True)


def test_no_run_to_resume_is_a_run_to_start_where_there_is_a_recipe(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    begun = [*TINY, "train.device=cpu", "train.precision=fp32"]
    assert recipe_to_run("moco_v2_shapes", run, begun, resume=True) == load_recipe("moco_v2_shapes", begun)
    with pytest.raises(UsageError, match=r"run: holds no run \(no config.yaml\); name the recipe"):
        recipe_to_run(None, run, resume=True)


def test_the_directory_that_a_command_line_means(
    started: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(started.path)
    assert named_run(path, None, resume=True) == (None, started.path)
    assert named_run("moco_v2", None, resume=True) == ("moco_v2", Path("runs/moco_v2"))
    assert named_run("my/recipe.yaml", None, resume=False) == ("my/recipe.yaml", Path("runs/recipe"))
    assert named_run("moco_v2", started.path, resume=True) == ("moco_v2", started.path)
    assert named_run(None, started.path, resume=True) == (None, started.path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert named_run("~/run", None, resume=True) == (None, started.path)
    with pytest.raises(UsageError, match="which run"):
        named_run(None, None, resume=True)


@pytest.mark.parametrize(
    "argv",
    [
        ["--resume", "RUN"],
        ["RUN", "--resume"],
        ["--resume", "--out", "RUN"],
        ["--resume", "train.log_every=3", "--out", "RUN"],
        ["moco_v2_shapes", "--resume", "--out=RUN"],
    ],
    ids=" ".join,
)
def test_every_way_to_type_it(started: RunDirectory, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    argv = [argument.replace("RUN", str(started.path)) for argument in argv]
    assert main(["pretrain", *argv, "--print-config"]) == 0
    changes = [argument for argument in argv if "log_every" in argument]
    assert capsys.readouterr().out == to_yaml(load_recipe(read_recipe(started.config), changes))


def test_a_recipe_is_needed_to_start_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["pretrain", "--data", "shapes"])
    assert "give a RECIPE, or --resume and a run's directory" in capsys.readouterr().err


def test_a_run_keeps_the_precision_that_it_was_started_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine, or by a recipe, to which `auto` is another."""
    run, recipe = RunDirectory(tmp_path), load_recipe("moco_v2_shapes", [*TINY, "train.device=cpu"])
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: True)
    begun = recipe_to_run(recipe, run)
    assert (begun.train.precision, recipe.train.precision) == ("bf16", "auto")
    run.start(begun, resume=False)
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: False)
    assert recipe_to_run(recipe, RunDirectory(tmp_path / "other")).train.precision == "fp32"
    for again in (recipe, "moco_v2_shapes", None):
        assert recipe_to_run(again, run, resume=True).train.precision == "bf16"
