"""What an evaluation leaves: a result that is named for what it depends on, and says how it was made."""

from pathlib import Path
from typing import Any

import pytest

from sslfast.commands.evaluate import digests_of_lists, evaluate, results_folder
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from sslfast.run import checkpoint
from sslfast.run.environment import source_commit
from tests.commands.evaluate.images import CLASSES, write_images


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


def test_a_result_that_cannot_be_written(saved: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", each=4)
    (tmp_path / "run" / "evaluation").touch()
    with pytest.raises(UsageError, match="run/evaluation: cannot write the evaluation: File exists"):
        evaluate("knn", saved, data)


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


def test_results_are_kept_with_what_they_are_of(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for file in (run, run / "checkpoints", run / "checkpoints" / "last.pt", run / "backbone.safetensors"):
        assert results_folder(file) == run / "evaluation", file
    assert results_folder(tmp_path / "elsewhere.pt") == tmp_path / "evaluation"
    assert results_folder(None) == Path("evaluation")  # a library's weights
