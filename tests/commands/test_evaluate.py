"""`sslfast evaluate`: from a checkpoint and images to a result in the run's directory."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from sslfast.commands import evaluate as command
from sslfast.commands.evaluate import digests_of_lists, evaluate, results_folder
from sslfast.config import EncoderConfig, Recipe
from sslfast.data import open_source, split
from sslfast.data.inventory import take_inventory
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.evaluation import PROTOCOLS
from sslfast.evaluation import images as images_of_evaluation
from sslfast.evaluation.classification import classification
from sslfast.evaluation.protocol import Row
from sslfast.evaluation.result import Evaluation
from sslfast.recipes.load import from_dict, to_dict
from sslfast.run import checkpoint
from sslfast.run.environment import source_commit
from sslfast.run.inventory import write_inventory

CLASSES = ("blue", "green", "red")


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return from_dict(
        {
            "method": {"name": "moco_v2"},
            "encoder": {"stem": "cifar", "width": 0.125},
            "data": {"size": 16},
            "train": {"seed": 3},
        }
    )


@pytest.fixture
def saved(recipe: Recipe, tmp_path: Path) -> Path:
    """A checkpoint whose weights are not those of the recipe's seed."""
    torch.manual_seed(99)
    encoder = build_encoder(recipe.encoder)
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    path.parent.mkdir(parents=True)
    weights = {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    checkpoint.save(path, {"config": to_dict(recipe), "method": weights})
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
    evaluation = evaluate("knn", saved, data, overrides=["k=[5, 200, 1000]", "val_fraction=0.25"])
    assert (evaluation.train_images, evaluation.val_images, evaluation.classes) == (45, 15, 3)
    assert evaluation.chance == pytest.approx(1 / 3)
    # k beyond the training images is all of them, once.
    assert [(row["encoder"], row["k"]) for row in evaluation.rows] == [
        ("pre-trained", 5),
        ("pre-trained", 45),
        ("random initialisation", 5),
        ("random initialisation", 45),
    ]
    assert evaluation.rows[0]["top1"] > 0.9  # the colours are plain to any encoder
    assert evaluation.options["k"] == [5, 200, 1000]


def test_the_precision_that_auto_was_stands_in_the_result(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, settings = write_images(tmp_path / "images"), ["val_fraction=0.25", "device=cpu", "bank=bf16"]
    found = {}
    for capable, precision in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda capable=capable: {"amx_bf16": capable})
        found[precision] = evaluate("knn", saved, data, overrides=settings, random_baseline=False)
        assert found[precision].options["precision"] == precision
        assert found[precision].rows[0]["top1"] > 0.9
    assert found["fp32"].name() != found["bf16"].name()
    given = evaluate("knn", saved, data, overrides=[*settings, "precision=fp32"], random_baseline=False)
    assert given == found["fp32"]


def test_a_protocol_that_trains_on_images_has_no_bf16(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    with pytest.raises(UsageError, match="precision=bf16: protocol=moco trains on augmented images, in fp32"):
        evaluate("linear", saved, data, overrides=["protocol=moco", "precision=bf16"])


def test_linear_writes_its_result_into_the_run(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    evaluation = evaluate("linear", saved, data, overrides=["epochs=30"], random_baseline=False)
    assert [row["encoder"] for row in evaluation.rows] == ["pre-trained"]
    assert evaluation.rows[0]["train_top1"] == 1
    assert evaluation.rows[0]["top1"] > 0.8
    (path,) = (tmp_path / "run" / "evaluation").glob("linear-images-*.json")
    assert Evaluation.load(path) == evaluation
    assert evaluation.options["lr"] == 0.1  # what the default came to


def test_evaluations_on_other_data_do_not_replace_each_other(saved: Path, tmp_path: Path) -> None:
    for name in ("one", "the other"):
        evaluate("knn", saved, write_images(tmp_path / name, each=4) + "/", random_baseline=False)
    written = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "run" / "evaluation").iterdir())
    assert written == ["knn-one", "knn-the_other"]


def test_a_result_is_kept_beside_those_that_depend_on_something_else(saved: Path, tmp_path: Path) -> None:
    data, val = write_images(tmp_path / "images", each=8), write_images(tmp_path / "held out", each=4)
    same_name = write_images(tmp_path / "elsewhere" / "images", each=8, seed=1)
    folder = tmp_path / "run" / "evaluation"

    def files_after(*arguments: Any, **keywords: Any) -> int:
        evaluate("knn", saved, *arguments, **{"random_baseline": False, **keywords})
        return len(list(folder.iterdir()))

    state = checkpoint.load(saved)
    assert files_after(data) == 1
    assert files_after(f"{data}/") == 1  # the same once more
    assert files_after(data, overrides=["limit=12"]) == 2
    assert files_after(data, overrides=["k=[3]"]) == 3
    assert files_after(data, val) == 4
    assert files_after(same_name) == 5
    assert files_after(data, random_baseline=True) == 6
    checkpoint.save(saved, {**state, "step": 70})
    assert files_after(data) == 7
    state["method"] = {name: value.div(2).to(value.dtype) for name, value in state["method"].items()}
    checkpoint.save(saved, {**state, "step": 70})  # of another run, say
    assert files_after(data) == 8
    assert len(list(folder.glob("knn-images-step00000070-*.json"))) == 2
    assert len(list(folder.glob("knn-images-held_out-*.json"))) == 1
    assert all(Evaluation.load(path) for path in folder.iterdir())


def test_the_runs_own_data_is_split_as_in_pre_training(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    state = checkpoint.load(saved)
    state["config"]["data"] |= {"source": "images", "limit": 40, "val_fraction": 0.25}
    checkpoint.save(saved, state)

    def evaluated(data: str, *overrides: str, val: str | None = None) -> Evaluation:
        return evaluate("knn", saved, data, val, overrides, random_baseline=False)

    own = evaluated(images)  # the same place by another path
    assert (own.train_images, own.val_images, own.own_split) == (30, 10, True)
    assert "limit=40 val_fraction=0.25" in own.table()
    assert "10 held out as in pre-training" in own.table()
    overridden = evaluated("images", "limit=20", "val_fraction=0.5")
    assert (overridden.train_images, overridden.val_images, overridden.own_split) == (10, 10, False)
    other = evaluated(write_images(tmp_path / "other"))
    assert (other.train_images, other.val_images, other.own_split) == (54, 6, False)
    apart = evaluated("images", val=str(tmp_path / "other"))
    assert (apart.train_images, apart.val_images, apart.own_split) == (60, 60, False)

    state["config"]["data"] |= {"limit": None, "val_fraction": 0.0}
    checkpoint.save(saved, state)
    unsplit = evaluated("images")
    assert (unsplit.train_images, unsplit.val_images, unsplit.own_split) == (54, 6, False)
    state["config"]["data"]["source"] = "~nouser/images"  # of another machine
    checkpoint.save(saved, state)
    assert not evaluated("images").own_split


def test_a_runs_own_classes_are_those_of_its_evaluation(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=10)
    (tmp_path / "two.txt").write_text("red\nblue\n")
    state = checkpoint.load(saved)
    state["config"]["data"] |= {"source": data, "classes": str(tmp_path / "two.txt")}
    checkpoint.save(saved, state)
    own = evaluate("knn", saved, data, random_baseline=False)
    assert (own.classes, own.train_images, own.val_images, own.own_split) == (2, 18, 2, True)
    (tmp_path / "one.txt").write_text("red\n")
    other = evaluate("knn", saved, data, overrides=[f"classes={tmp_path / 'one.txt'}"], random_baseline=False)
    assert (other.classes, other.train_images, other.val_images, other.own_split) == (1, 9, 1, False)
    elsewhere = evaluate("knn", saved, write_images(tmp_path / "other", each=10), random_baseline=False)
    assert elsewhere.classes == 3


def test_the_split_stays_that_of_pre_training_when_an_image_is_gone(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else images that it was trained on would be held out. More than `max_bad` of them are refused."""
    images = write_images(tmp_path / "images", each=10)
    state = checkpoint.load(saved)
    state["config"]["data"] |= {"source": images, "val_fraction": 0.2}
    checkpoint.save(saved, state)
    before = open_source(images)
    write_inventory(saved.parents[1] / "images.json.gz", take_inventory(before))
    _, held_out = split(before, 0.2)
    tested = []
    monkeypatch.setattr(
        images_of_evaluation, "split", lambda *args: (parts := split(*args), tested.append(parts[1].paths))[0]
    )
    assert before.paths is not None
    before.paths[3].unlink()
    result = evaluate("knn", saved, images, None, ["max_bad=0.1"], random_baseline=False)
    assert tested == [held_out.paths]
    assert result.own_split
    assert result.train_images + result.val_images == 29
    with pytest.raises(UsageError, match="--data .*images does not hold the images of the run: .* 1 are missing"):
        evaluate("knn", saved, images, random_baseline=False)


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small stand-in for torchvision's CIFAR10, whose splits differ in their numbers of images."""

    class CIFAR10:
        classes = CLASSES

        def __init__(self, root: Path, train: bool, download: bool) -> None:
            self.targets = [i % 3 for i in range(30 if train else 12)]
            self.data = np.zeros((len(self.targets), 16, 16, 3), dtype=np.uint8)
            for image, target in zip(self.data, self.targets, strict=True):
                image[..., target] = 200

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", CIFAR10)


@pytest.mark.usefixtures("cifar")
def test_a_bare_name_is_its_training_split_against_its_test_split(saved: Path) -> None:
    state = checkpoint.load(saved)
    state["config"]["data"]["source"] = "CIFAR10"
    checkpoint.save(saved, state)

    def evaluated(data: str, val: str | None = None, *overrides: str) -> Evaluation:
        return evaluate("knn", saved, data, val, ["k=[3]", *overrides], random_baseline=False)

    bare = evaluated("CIFAR10")
    assert (bare.data, bare.val, bare.train_images, bare.val_images) == ("CIFAR10:train", "CIFAR10:test", 30, 12)
    assert "knn on CIFAR10:train: 30 training images, 12 held out of CIFAR10:test" in bare.table()
    assert bare == evaluated("CIFAR10:train", "CIFAR10:test") == evaluated("CIFAR10", "CIFAR10:test")
    assert evaluated("CIFAR10:test", "CIFAR10").train_images == 12
    # The training split by name, and a share that is asked for, are parts of the one split.
    own = evaluated("CIFAR10:train")
    assert (own.val, own.train_images, own.val_images, own.own_split) == (None, 27, 3, True)
    share = evaluated("CIFAR10", None, "val_fraction=0.2")
    assert (share.val, share.train_images, share.val_images) == (None, 24, 6)


@pytest.mark.usefixtures("cifar")
def test_the_same_images_on_both_sides_are_refused(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_images(tmp_path / "images", each=4)
    (tmp_path / "link").symlink_to(data)
    (tmp_path / "two").mkdir()
    for name in ("red", "blue"):
        (tmp_path / "two" / name).symlink_to(f"{data}/{name}")
    for train, val in [
        *[("CIFAR10", "CIFAR10"), ("CIFAR10", "CIFAR10:train"), ("CIFAR10:test", "CIFAR10:test")],
        *[("shapes", "shapes"), (data, "images"), (data, "images/"), ("images", "link")],
    ]:
        with pytest.raises(UsageError, match=rf"--val {val}: the images of --data {train}, .* name another split"):
            evaluate("knn", saved, train, val)
    with pytest.raises(UsageError, match="--val two: 8 of its 8 images are among those of --data images; name"):
        evaluate("knn", saved, "images", "two")
    assert not (tmp_path / "run" / "evaluation").exists()


def test_unreadable_files_up_to_a_share(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images")
    (tmp_path / "images" / "red" / "3.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"1 of 60 images cannot be read, more than max_bad=0\.01 allows"):
        evaluate("knn", saved, data)
    evaluation = evaluate("knn", saved, data, overrides=["max_bad=0.05"])
    assert evaluation.train_images + evaluation.val_images == 59


def test_a_result_that_cannot_be_written(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=4)
    (tmp_path / "run" / "evaluation").touch()
    with pytest.raises(UsageError, match="run/evaluation: cannot write the evaluation: File exists"):
        evaluate("knn", saved, data)


def test_one_of_several_neighbour_counts_can_be_set(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    evaluation = evaluate("knn", saved, data, overrides=["k.0=3"], random_baseline=False)
    assert evaluation.options["k"] == [3, 20]


def test_is_deterministic(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    assert evaluate("linear", saved, data) == evaluate("linear", saved, data)


def test_classes_of_a_validation_set_go_by_name(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "train")
    val = write_images(tmp_path / "val", classes=("red", "green"), seed=1)  # other numbers, one class missing
    evaluation = evaluate("knn", saved, data, val, ["k=[5]"])
    assert (evaluation.train_images, evaluation.val_images) == (60, 40)
    assert evaluation.rows[0]["top1"] > 0.9


def test_pre_trained_and_random_rows_are_of_different_weights(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", classes=("red", "crimson"), each=30)  # no telling them apart
    rows = evaluate("linear", saved, data, overrides=["epochs=2", "val_fraction=0.3"]).rows
    assert rows[0]["train_top1"] != rows[1]["train_top1"]


def test_seeds_are_judged_each_with_other_initial_weights(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", classes=("red", "crimson"), each=30)  # no telling them apart
    settings = ["epochs=2", "val_fraction=0.3", "batch_size=4"]
    result = evaluate("linear", saved, data, overrides=[*settings, "seed=7", "seeds=3"])
    assert [(row["encoder"], row["seed"]) for row in result.rows] == [
        (name, seed) for name in ("pre-trained", "random initialisation") for seed in (7, 8, 9)
    ]
    alone = evaluate("linear", saved, data, overrides=[*settings, "seed=8"])
    assert alone.rows[0] == result.rows[1]  # the same encoder; the initial weights are those of the run's seed
    assert len({row["train_top1"] for row in result.rows[3:]}) > 1
    caption, _, headings, *lines = result.table().splitlines()
    assert "; 3 seeds: mean ± standard deviation" in caption
    assert "seed" not in headings
    assert len(lines) == 2
    assert all(re.search(r"\d% ± \d", line) for line in lines)

    knn = evaluate("knn", saved, data, overrides=["k=[5]", "seeds=2", "val_fraction=0.3"]).rows
    assert knn[0] == {**knn[1], "seed": 0}  # which draws nothing
    assert {**knn[2], "seed": 1} != knn[3]


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_images_to_test_on_and_a_part_to_hold_out_are_not_asked_for_together(kind: str, saved: Path) -> None:
    with pytest.raises(
        UsageError, match="--val b and val_fraction=0.5 both say which images are tested; give one"
    ):
        evaluate(kind, saved, "a", "b", overrides=["val_fraction=0.5"])


def test_a_supervised_encoder_stands_beside(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    torch.manual_seed(5)
    torch.save(build_encoder(EncoderConfig(width=0.25)).state_dict(), tmp_path / "labels.pth")
    beside = evaluate("knn", saved, data, overrides=["k=[5]"], supervised=tmp_path / "labels.pth")
    assert [row["encoder"] for row in beside.rows] == ["pre-trained", "random initialisation", "supervised"]
    own = evaluate("knn", tmp_path / "labels.pth", data, overrides=["k=[5]"], random_baseline=False)
    assert {**beside.rows[2], "encoder": "pre-trained"} == own.rows[0]
    assert f"supervised ones of {tmp_path / 'labels.pth'}" in beside.table()
    torch.save(build_encoder(EncoderConfig(width=0.25)).state_dict(), tmp_path / "labels.pth")
    evaluate("knn", saved, data, overrides=["k=[5]"], supervised=tmp_path / "labels.pth")
    assert len(list((tmp_path / "run" / "evaluation").glob("*.json"))) == 2  # other weights: another result


def test_what_was_judged_before_a_kill_is_not_judged_again(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = write_images(tmp_path / "images", each=8), tmp_path / "run" / "evaluation"
    (tmp_path / "images" / "red" / "3.png").write_bytes(b"")
    settings = ["seeds=2", "epochs=2", "max_bad=0.1"]
    whole = evaluate("linear", saved, data, overrides=settings)
    (path,) = folder.iterdir()  # nothing else is left of an evaluation that has ended
    path.unlink()

    judge, calls = PROTOCOLS["linear"].judge, []

    def stopped(*arguments: Any) -> list[Row]:
        calls.append(arguments[4].seed)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return judge(*arguments)

    monkeypatch.setitem(PROTOCOLS, "linear", dataclasses.replace(PROTOCOLS["linear"], judge=stopped))
    with pytest.raises(KeyboardInterrupt):
        evaluate("linear", saved, data, overrides=settings)
    assert len(list(folder.glob("*.finished"))) == 2
    assert not list(folder.glob("*.json"))
    assert evaluate("linear", saved, data, overrides=settings) == whole
    assert calls == [0, 1, 0, 0, 1]
    assert [file.suffix for file in folder.iterdir()] == [".json"]


def test_all_encoders_see_images_of_many_bits_by_one_range(
    recipe: Recipe,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in CLASSES:
        (tmp_path / "deep" / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng(number).integers(0, 4096, (16, 16), dtype=np.uint16)
            Image.fromarray(pixels).save(tmp_path / "deep" / name / f"{number}.png")
    of_12_bits = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, range=(0, 4095)))
    checkpoint.save(saved, {**checkpoint.load(saved), "config": to_dict(of_12_bits)})
    ranges = []

    def judge(*arguments: Any) -> list[Row]:
        ranges.append(arguments[3].range)
        return [{"top1": 0.0}]

    monkeypatch.setitem(PROTOCOLS, "knn", classification(PROTOCOLS["knn"].config, judge))
    monkeypatch.chdir(tmp_path)  # where the results of random weights lie
    of_run = evaluate("knn", saved, "deep", supervised="random")
    given = evaluate("knn", "random", "deep", overrides=["range=[0, 1023]"], random_baseline=False)
    assert ranges == [(0, 4095)] * 3 + [(0, 1023)]
    assert (of_run.options["range"], given.options["range"]) == ([0, 4095], [0, 1023])
    with pytest.raises(UsageError):
        evaluate("segment", saved, "deep")
    assert "read by all their bits, not by data.range=[0, 4095] of" in caplog.text


def test_a_result_is_of_what_a_list_holds(saved: Path, tmp_path: Path) -> None:
    data, folder = write_images(tmp_path / "images", each=8), tmp_path / "run" / "evaluation"
    names = tmp_path / "names.txt"
    results = []
    for content in ("red\nblue\n", "blue\nred\n", "red\nblue\n"):
        names.write_text(content)
        results.append(evaluate("knn", saved, data, overrides=[f"classes={names}"], random_baseline=False))
    assert len(list(folder.iterdir())) == 2
    assert results[0] == results[2] != results[1]
    assert results[0].name() != results[1].name()


def test_names_that_are_no_files_have_no_digest(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a")
    assert digests_of_lists({"classes": ",".join(map(str, range(999))), "labels": "1%", "other": "x"}) == {}
    assert [*digests_of_lists({"classes": str(tmp_path / "list"), "labels": None})] == ["classes"]


def test_another_result_of_the_same_name_has_files_of_its_own(saved: Path, tmp_path: Path) -> None:
    """Of the same settings on a folder of which an image has changed."""
    data, folder = write_images(tmp_path / "images", each=20), tmp_path / "run" / "evaluation"
    settings = ["labels=50%", "epochs=1"]
    evaluate("finetune", saved, data, overrides=settings, random_baseline=False)
    (first,) = folder.glob("*.json")
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    (tmp_path / "images" / "red" / "3.png").unlink()
    (tmp_path / "images" / "red" / "5.png").unlink()
    evaluate("finetune", saved, data, overrides=settings, random_baseline=False)
    names = [f"{first.stem}{ending}" for ending in (".json", ".pre-trained.labels.txt")]
    others = [f"{first.stem}-2{ending}" for ending in (".json", ".pre-trained.labels.txt")]
    assert sorted(file.name for file in folder.iterdir()) == sorted(names + others)
    assert all((folder / name).read_bytes() == content for name, content in kept.items())


def test_two_at_once(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, judge = write_images(tmp_path / "images", each=8), PROTOCOLS["knn"].judge

    def judge_twice(*arguments: Any) -> list[Row]:
        with pytest.raises(UsageError, match="knn-images-.*: another process makes this evaluation; wait for its"):
            evaluate("knn", saved, data)
        return judge(*arguments)

    monkeypatch.setitem(PROTOCOLS, "knn", dataclasses.replace(PROTOCOLS["knn"], judge=judge_twice))
    evaluate("knn", saved, data)
    assert [file.suffix for file in (tmp_path / "run" / "evaluation").iterdir()] == [".json"]


def test_what_a_kill_left_is_checked(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, folder = write_images(tmp_path / "images", each=8), tmp_path / "run" / "evaluation"
    monkeypatch.setattr(command, "settle", lambda *_: None)
    before = evaluate("knn", saved, data, random_baseline=False)
    (left,) = folder.glob("*.finished")
    (tmp_path / "images" / "red" / "3.png").unlink()
    after = evaluate("knn", saved, data, random_baseline=False)
    assert after.train_images + after.val_images == before.train_images + before.val_images - 1
    assert not list(folder.glob("*.tmp"))
    for damage in (b"", b"[1]", b"[" * 9999, left.read_bytes()[:-9]):
        left.write_bytes(damage)
        with pytest.raises(UsageError, match="finished: cannot be read as what an evaluation left; remove it"):
            evaluate("knn", saved, data, random_baseline=False)


def test_a_result_says_how_it_was_made(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=8)
    evaluation = evaluate("knn", saved, data, command="sslfast evaluate knn 'a b'")
    (path,) = (tmp_path / "run" / "evaluation").iterdir()
    kept = Evaluation.load(path)
    assert {"python", "torch", "torchvision"} <= kept.versions.keys()
    assert (kept.device, kept.command) == ("CPU", "sslfast evaluate knn 'a b'")
    assert kept.commit == source_commit()
    assert kept.seconds is not None
    assert 0 < kept.seconds < 60
    assert kept.class_names == sorted(CLASSES)
    assert sum(images for _, _, images in kept.rows[0]["confusion"]) == evaluation.val_images


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


def test_results_are_kept_with_what_they_are_of(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for file in (run, run / "checkpoints", run / "checkpoints" / "last.pt", run / "backbone.safetensors"):
        assert results_folder(file) == run / "evaluation", file
    assert results_folder(tmp_path / "elsewhere.pt") == tmp_path / "evaluation"
    assert results_folder(None) == Path("evaluation")  # a library's weights


def test_weights_of_other_software_are_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_images(tmp_path / "images", each=8)
    torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / "theirs.pth")
    evaluation = evaluate("knn", tmp_path / "theirs.pth", data, overrides=["k=[5]"])
    assert [row["encoder"] for row in evaluation.rows] == ["pre-trained", "random initialisation"]
    assert (evaluation.own_split, evaluation.step) == (False, None)
    assert evaluation.rows[0]["top1"] > 0.9
    assert list((tmp_path / "evaluation").glob("knn-images-*.json"))

    monkeypatch.chdir(tmp_path / "images")
    evaluate("knn", "random", data, overrides=["k=[5]"], architecture="resnet18")
    assert list((tmp_path / "images" / "evaluation").glob("knn-images-*.json"))
