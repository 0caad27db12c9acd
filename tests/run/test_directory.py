"""A run's directory: what it may be, and what starting a run leaves of another."""

import shutil
from contextlib import contextmanager

import pytest
import yaml

from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe, with_precision
from sslfast.run import directory, lock
from sslfast.run.checkpoint import Checkpoints, save
from sslfast.run.directory import CHANGEABLE, RunDirectory, check_same, read_recipe


def recipe(*overrides):
    return with_precision(load_recipe("moco_v2_shapes", overrides))  # as a run's is


@pytest.fixture
def run(tmp_path):
    """Makes the directory of a run that has begun."""
    run = RunDirectory(tmp_path / "run")
    run.start(recipe(), resume=False)
    run.checkpoints.mkdir()
    for path in (run.metrics, run.log, run.path / "events.out.tfevents.1", run.path / "last.pt.tmp"):
        path.touch()
    return run


@pytest.mark.parametrize(("resume", "overwrite"), [(False, False), (True, False), (False, True)])
def test_a_new_directory_and_an_empty_one_are_usable(tmp_path, resume, overwrite):
    for path in (tmp_path, tmp_path / "a" / "new"):
        RunDirectory(path).check_usable(recipe(), resume=resume, overwrite=overwrite)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_replaced_unasked(run):
    with pytest.raises(UsageError, match="holds a run; continue it with --resume, or replace it with --overwrite"):
        run.check_usable(recipe(), resume=False, overwrite=False)
    run.check_usable(recipe("train.seed=9"), resume=False, overwrite=True)
    run.check_usable(recipe(), resume=True, overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_are_never_touched(run, overwrite):
    (run.path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds files that are no run's; choose another directory"):
        run.check_usable(recipe(), resume=False, overwrite=overwrite)


@pytest.mark.parametrize("damaged", ["", "met", "a: [", "\x00\xff", None])
def test_a_run_whose_config_is_damaged_can_be_replaced(run, damaged):
    """What else it left tells that it is a run."""
    if damaged is None:
        run.config.unlink()
    else:
        run.config.write_text(damaged, encoding="latin-1")
    for leave in (
        lambda: run.metrics.write_text('{"step": 1, "epoch": 0.5, "loss": 1.0}\n'),
        lambda: save(run.checkpoints / "last.pt", {"step": 1}),
    ):
        with pytest.raises(
            UsageError, match=r"--overwrite replaces runs, .* can be read \(.*\); remove it yourself"
        ):
            run.check_usable(recipe(), resume=False, overwrite=True)
        leave()
        run.check_usable(recipe(), resume=False, overwrite=True)
        with pytest.raises(UsageError, match="holds a run; continue it with --resume"):
            run.check_usable(recipe(), resume=False, overwrite=False)
        shutil.rmtree(run.checkpoints)
        run.metrics.write_text("")
        run.checkpoints.mkdir()
    if damaged is not None:
        with pytest.raises(UsageError, match=r"config.yaml: not the configuration of a run"):
            run.check_usable(recipe(), resume=True, overwrite=False)


def test_a_folder_whose_names_are_those_of_a_run_is_never_emptied(tmp_path):
    """Other programs too keep checkpoints/ and config.yaml."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.pt").write_text("years of work")
    (tmp_path / "config.yaml").write_text("learning_rate: 0.1")
    for overwrite in (False, True):
        with pytest.raises(UsageError):
            RunDirectory(tmp_path).check_usable(recipe(), resume=False, overwrite=overwrite)


@pytest.mark.parametrize(
    ("name", "is_one"), [("last.pt", True), ("step-00000007.pt", True), ("best.pt", False), ("step-a.pt", False)]
)
def test_a_run_has_a_checkpoint_where_it_can_go_on_from_it(run, name, is_one):
    assert not run.has_checkpoint()
    save(run.checkpoints / name, {"step": 7})
    assert run.has_checkpoint() is is_one
    assert (Checkpoints(run.checkpoints, keep=1).latest() is not None) is is_one


def test_a_start_that_is_killed_leaves_a_run(run, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(directory, "atomic_write", killed)
    with pytest.raises(KeyboardInterrupt):
        run.start(recipe("train.seed=9"), resume=False)
    assert read_recipe(run.config) == recipe()


def test_links_are_removed_and_what_they_lead_to_stays(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "last.pt").touch()
    run.checkpoints.rmdir()
    run.checkpoints.symlink_to(elsewhere)
    run.start(recipe(), resume=False)
    assert list(run.path.iterdir()) == [run.config]
    assert (elsewhere / "last.pt").exists()


def test_a_directory_that_is_in_use_is_refused_and_left_as_it_is(run):
    with run.claimed(recipe(), resume=True, overwrite=False):
        before = sorted(run.path.iterdir())
        for overwrite in (False, True):
            with (
                pytest.raises(UsageError, match="runs in it"),
                run.claimed(recipe(), resume=not overwrite, overwrite=overwrite),
            ):
                pass
        assert sorted(run.path.iterdir()) == before
        run.start(recipe(), resume=False)
        assert {path.name for path in run.path.iterdir()} == {"config.yaml", "run.lock"}
    assert list(run.path.iterdir()) == [run.config]


def test_a_run_that_came_between_the_check_and_the_lock_is_refused(tmp_path, monkeypatch):
    other = RunDirectory(tmp_path / "run")

    @contextmanager
    def locked(path):
        other.start(recipe(), resume=False)
        yield

    monkeypatch.setattr(lock, "locked", locked)
    with (
        pytest.raises(UsageError, match="holds a run"),
        RunDirectory(other.path).claimed(recipe(), resume=False, overwrite=False),
    ):
        pass


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="holds files that are no run's"):
        RunDirectory(tmp_path / "run").check_usable(recipe(), resume=False, overwrite=True)
    with pytest.raises(UsageError, match="run: cannot write: File exists"):
        RunDirectory(tmp_path / "run").start(recipe(), resume=False)


def test_a_resumed_run_may_change_what_no_weight_depends_on(run):
    run.check_usable(recipe("train.log_every=77", "data.workers=1"), resume=True, overwrite=False)
    with pytest.raises(UsageError, match=r"started otherwise: optim.lr was .* and is 0.5; use another --out"):
        run.check_usable(recipe("optim.lr=0.5", "train.log_every=77"), resume=True, overwrite=False)


def test_a_resumed_runs_images_may_have_moved(run):
    for source in ("elsewhere", '["elsewhere", "and here"]'):
        moved = recipe(f"data.source={source}")
        run.check_usable(moved, resume=True, overwrite=False)
        check_same(moved, recipe())
        check_same(recipe(), moved)
    check_same(recipe("data.source=[a, b]"), recipe("data.source=[c, d]"))


def test_the_changeable_settings_are_settings():
    settings = {f"{section}.{key}" for section in ("data", "train") for key in vars(getattr(recipe(), section))}
    assert settings >= CHANGEABLE


def test_a_start_removes_the_run_before_and_a_resumed_one_keeps_it(run):
    before = sorted(run.path.iterdir())
    run.start(recipe("train.log_every=77"), resume=True)
    assert sorted(run.path.iterdir()) == before
    assert read_recipe(run.config) == recipe("train.log_every=77")
    run.start(recipe("train.seed=9"), resume=False)
    assert list(run.path.iterdir()) == [run.config]
    assert yaml.safe_load(run.config.read_text())["train"]["seed"] == 9


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: [", "\x00"])
def test_a_config_that_is_none(run, content):
    run.config.write_text(content)
    with pytest.raises(UsageError, match=r"config.yaml: not the configuration of a run: \S"):
        read_recipe(run.config)


def test_a_setting_of_a_view_that_differs_is_named_alone():
    before = load_recipe("moco_v2_cifar10")
    with pytest.raises(UsageError, match=r"otherwise: data\.views\.1\.blur was \S+ and is 0\.25; use another"):
        check_same(load_recipe(before, ["data.views.1.blur=0.25"]), before)
