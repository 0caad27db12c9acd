from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslfast.commands.evaluate import evaluate, run_folder
from sslfast.config import Recipe
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.evaluate.result import Evaluation
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run import checkpoint
from sslfast.run.backbone import random_encoder

CLASSES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def config() -> Recipe:
    return from_dict(
        {
            "method": {"name": "moco_v2"},
            "encoder": {"stem": "cifar", "width": 0.125},
            "data": {"size": 16},
            "train": {"seed": 3},
        }
    )


@pytest.fixture
def saved(config: Recipe, tmp_path: Path) -> Path:
    """A checkpoint whose weights are not those of the configuration's seed."""
    torch.manual_seed(99)
    encoder = build_encoder(config.encoder)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    path.parent.mkdir(parents=True)
    weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    checkpoint.save(path, {"config": to_dict(config), "method": weights})
    return path


def write_images(folder: Path, classes: tuple[str, ...] = CLASSES, each: int = 20, seed: int = 0) -> str:
    """Noisy images, each class in its colour."""
    generator = np.random.default_rng(seed)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = generator.integers(0, 40, (16, 16, 3), dtype=np.uint8)
            pixels[..., {"red": 0, "green": 1, "blue": 2}.get(name, 0)] += 200
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return str(folder)


def test_knn(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    found = evaluate("knn", saved, data, overrides=["k=[5, 200, 1000]", "val_fraction=0.25"])
    assert (found.train_images, found.val_images, found.classes) == (45, 15, 3)
    assert found.chance == pytest.approx(1 / 3)
    # k beyond the training images is all of them, once.
    assert [(row["encoder"], row["k"]) for row in found.rows] == [
        ("pre-trained", 5),
        ("pre-trained", 45),
        ("random initialisation", 5),
        ("random initialisation", 45),
    ]
    assert found.rows[0]["top1"] > 0.9  # the colours are plain to any encoder
    assert found.options["k"] == [5, 200, 1000]


def test_linear_writes_its_result_into_the_run(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    found = evaluate("linear", saved, data, overrides=["epochs=30"], random_baseline=False)
    assert [row["encoder"] for row in found.rows] == ["pre-trained"]
    assert found.rows[0]["train_top1"] == 1
    assert found.rows[0]["top1"] > 0.8
    assert Evaluation.load(tmp_path / "run" / "evaluation" / "linear-images.json") == found
    assert found.options["lr"] == 0.1  # what the default came to


def test_evaluations_on_other_data_do_not_replace_each_other(saved: Path, tmp_path: Path) -> None:
    for name in ("one", "the other"):
        evaluate("knn", saved, write_images(tmp_path / name, each=4) + "/", random_baseline=False)
    written = {path.name for path in (tmp_path / "run" / "evaluation").iterdir()}
    assert written == {"knn-one.json", "knn-the_other.json"}


def test_the_runs_own_data_is_split_as_in_pre_training(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    state = checkpoint.load(saved)
    state["config"]["data"] |= {"source": "images", "limit": 40, "val_fraction": 0.25}
    checkpoint.save(saved, state)

    def found(data: str, *overrides: str, val: str | None = None) -> Evaluation:
        return evaluate("knn", saved, data, val, overrides, random_baseline=False)

    own = found(images)  # the same place by another path
    assert (own.train_images, own.val_images, own.own_split) == (30, 10, True)
    assert "limit=40 val_fraction=0.25" in own.table()
    assert "10 held out as in pre-training" in own.table()
    overridden = found("images", "limit=20", "val_fraction=0.5")
    assert (overridden.train_images, overridden.val_images, overridden.own_split) == (10, 10, False)
    other = found(write_images(tmp_path / "other"))
    assert (other.train_images, other.val_images, other.own_split) == (54, 6, False)
    apart = found("images", val=str(tmp_path / "other"))
    assert (apart.train_images, apart.val_images, apart.own_split) == (60, 60, False)

    state["config"]["data"] |= {"limit": None, "val_fraction": 0.0}
    checkpoint.save(saved, state)
    unsplit = found("images")
    assert (unsplit.train_images, unsplit.val_images, unsplit.own_split) == (54, 6, False)


def test_unreadable_files_up_to_a_share(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    (tmp_path / "images" / "red" / "3.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"1 of 60 images cannot be read, more than max_bad=0\.01 allows"):
        evaluate("knn", saved, data)
    found = evaluate("knn", saved, data, overrides=["max_bad=0.05"])
    assert found.train_images + found.val_images == 59


def test_a_result_that_cannot_be_written(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=4)
    (tmp_path / "run" / "evaluation").touch()
    with pytest.raises(UsageError, match=r"knn-images\.json: cannot write the evaluation"):
        evaluate("knn", saved, data)


def test_one_of_several_neighbour_counts_can_be_set(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    found = evaluate("knn", saved, data, overrides=["k.0=3"], random_baseline=False)
    assert found.options["k"] == [3, 20]


def test_is_deterministic(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    assert evaluate("linear", saved, data) == evaluate("linear", saved, data)


def test_classes_of_a_validation_set_go_by_name(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "train")
    val = write_images(tmp_path / "val", classes=("red", "green"), seed=1)  # other numbers, one class missing
    found = evaluate("knn", saved, data, val, ["k=[5]"])
    assert (found.train_images, found.val_images) == (60, 40)
    assert found.rows[0]["top1"] > 0.9


def test_the_baseline_is_the_runs_own_beginning(config: Recipe) -> None:
    torch.manual_seed(config.train.seed)
    initial = build_encoder(config.encoder).state_dict()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    baseline = random_encoder(config.encoder, config.data, config.train.seed).state_dict()
    assert all(torch.equal(baseline[name], initial[name]) for name in initial)
    assert torch.equal(torch.rand(3), expected)  # the caller's generator went on undisturbed


def test_pre_trained_and_random_rows_are_of_different_weights(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", classes=("red", "crimson"), each=30)  # no telling them apart
    rows = evaluate("linear", saved, data, overrides=["epochs=2", "val_fraction=0.3"]).rows
    assert rows[0]["train_top1"] != rows[1]["train_top1"]


def test_errors(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=4)
    others = write_images(tmp_path / "others", classes=("red", "violet"), each=4)
    unlabelled = str(tmp_path / "images" / "red")
    for match, arguments in {
        "evaluate kn: no such evaluation; did you mean 'knn'": ("kn", saved, data),
        "unknown key 'kk'": ("knn", saved, data, None, ["kk=3"]),
        "temperature.*got -1": ("knn", saved, data, None, ["temperature=-1"]),
        "--data .*red: has no labels": ("knn", saved, unlabelled),
        "--val .*red: has no labels": ("knn", saved, data, unlabelled),
        "lacks: violet": ("linear", saved, data, others),
    }.items():
        with pytest.raises(UsageError, match=match):
            evaluate(*arguments)


def test_run_folder(tmp_path: Path) -> None:
    assert run_folder(tmp_path / "run" / "checkpoints" / "last.pt") == tmp_path / "run"
    assert run_folder(tmp_path / "elsewhere.pt") == tmp_path
    assert run_folder(tmp_path) == tmp_path


def test_table_is_aligned_and_complete() -> None:
    found = Evaluation(
        kind="knn",
        checkpoint="runs/a",
        data="shapes",
        val=None,
        options={"k": [200, 20], "device": "auto", "limit": None},
        train_images=900,
        val_images=100,
        classes=10,
        chance=0.1,
        rows=[
            {"encoder": "pre-trained", "k": 200, "top1": 0.512, "top5": 0.93},
            {"encoder": "random initialisation", "k": 20, "top1": 0.3},
        ],
    )
    caption, settings, *lines = found.table().splitlines()
    for part in ("900 training images", "100 held out", "10 classes", "chance 10.0%"):
        assert part in caption
    assert settings == "k=[200,20] device=auto limit=null"
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split("  ")[0] == "encoder"
    assert lines[1].split() == ["pre-trained", "200", "51.2%", "93.0%"]
    assert lines[2].split() == ["random", "initialisation", "20", "30.0%", "-"]
