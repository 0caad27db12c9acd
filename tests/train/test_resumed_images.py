"""A run is resumed on the images that it was started on, wherever they are, or not at all."""

import importlib.util
import shutil

import pytest

from sslfast.commands.pretrain import pretrain
from sslfast.errors import TrainingError, UsageError
from sslfast.recipes.load import load_recipe
from tests.data.photographs import photograph
from tests.train.runs import assert_same, lines, signal_after, state

NEEDS_DALI = pytest.mark.skipif(
    importlib.util.find_spec("nvidia.dali") is None, reason="NVIDIA DALI is not installed"
)
# 32 images to train on: 4 steps an epoch. Instance discrimination, as its memory bank knows images by position.
SETTINGS = [
    "data.size=16",
    "data.batch_size=8",
    "data.max_bad=0.05",
    "encoder.width=0.125",
    "train.epochs=2",
    "train.threads=1",
    "train.log_every=1",
    "train.knn_every=0",
]
STEPS, STOPPED = 8, 3


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images") / "set"
    for number in range(36):
        path = root / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(number, 20, 20).save(path)
    return root


@pytest.fixture(scope="module", params=["resident", pytest.param("dali", marks=NEEDS_DALI)])
def runs(request, images, tmp_path_factory):
    """Makes a whole run of a recipe, and one that was stopped in its first epoch; returns recipe and folder."""
    folder = tmp_path_factory.mktemp(request.param)
    recipe = load_recipe("instdisc_cifar10", [*SETTINGS, f"data.pipeline={request.param}"], data=images)
    pretrain(recipe, folder / "whole")
    with pytest.MonkeyPatch.context() as patch:
        signal_after(patch, STOPPED)
        with pytest.raises(SystemExit):
            pretrain(recipe, folder / "stopped")
    return recipe, folder


@pytest.fixture
def resume(runs, images, tmp_path):
    """Resumes a copy of the stopped run on a copy of its images that a function has changed; returns the run."""
    recipe, folder = runs

    def resumed(change):
        data = shutil.copytree(images, tmp_path / "elsewhere")
        run = shutil.copytree(folder / "stopped", tmp_path / "run")
        change(data, run)
        pretrain(recipe, run, data=data, resume=True)
        return run

    return resumed


def test_the_same_images_elsewhere(runs, resume):
    """With one more, which is left out."""
    run = resume(lambda data, run: photograph(99, 20, 20).save(data / "a" / "000.png"))
    whole, resumed = state(runs[1] / "whole"), state(run)
    whole.pop("config")
    assert resumed.pop("config")["data"]["source"] != str(runs[0].data.source)
    assert_same(resumed, whole)


def test_one_that_vanished_is_skipped_as_in_the_run(runs, resume):
    """Its place in the memory bank stays, and so do all others'."""
    run = resume(lambda data, run: (data / "b" / "07.png").unlink())
    whole, resumed = state(runs[1] / "whole"), state(run)
    assert resumed["step"] == STEPS
    assert resumed["images"] == whole["images"]
    same = [key for key, value in whole["method"].items() if value.shape == resumed["method"][key].shape]
    assert same == list(whole["method"])
    assert "left out 1 unreadable images" in (run / "train.log").read_text()


def test_others_are_refused_and_nothing_is_written(resume, tmp_path):
    before = {}

    def replace(data, run):
        (data / "a").rename(data / "c")
        before.update({path: path.read_bytes() for path in run.rglob("*") if path.is_file()})

    with pytest.raises(
        UsageError, match="of its 36 images in .*set 18 are missing, the first a/00.png; 18 are new"
    ):
        resume(replace)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_run_without_an_inventory_is_resumed_with_a_warning(runs, resume):
    """And has one from then on."""
    run = resume(lambda data, run: (run / "images.json.gz").unlink())
    assert_same(state(run)["method"], state(runs[1] / "whole")["method"])
    assert "by an older sslfast, has no images.json.gz" in (run / "train.log").read_text()
    assert (run / "images.json.gz").exists()


def test_images_that_vanish_while_it_trains(runs, images, tmp_path):
    """They are named with what is saved, and the run goes on once they are back; in memory they are not missed."""
    recipe, folder = runs
    data, hidden, run = shutil.copytree(images, tmp_path / "set"), tmp_path / "hidden", tmp_path / "run"

    def vanish(step, values):
        if step == STEPS // 2:  # before the second epoch reads
            data.rename(hidden)

    if recipe.data.pipeline == "resident":
        pretrain(recipe, run, data=data, on_step=vanish)
    else:
        stands = rf"; stopped at step {STEPS // 2}; .*checkpoints holds step {STEPS // 2}: go on with --resume"
        with pytest.raises(TrainingError, match=rf"set: \d of 36 images cannot be read, .*{stands}"):
            pretrain(recipe, run, data=data, on_step=vanish)
        assert not list(run.rglob("*.tmp"))
        hidden.rename(data)
        pretrain(recipe, run, data=data, resume=True)
    whole, resumed = state(folder / "whole"), state(run)
    del whole["config"], resumed["config"]
    assert_same(resumed, whole)
    assert [line["step"] for line in lines(run)] == list(range(1, STEPS + 1))
