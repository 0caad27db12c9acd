"""`sslfast report`: the page of a run, whatever the run has by then."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from sslfast.commands import report as command
from sslfast.commands.evaluate import evaluate
from sslfast.commands.pretrain import pretrain
from sslfast.commands.report import write_report
from sslfast.config import DataConfig, EncoderConfig
from sslfast.data import Source, open_source, split
from sslfast.data.inventory import take_inventory
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from sslfast.recipes.load import from_dict, to_dict, to_yaml
from sslfast.report import features
from sslfast.report.neighbors import NEIGHBORS, QUERIES
from sslfast.run import checkpoint
from sslfast.run.backbone import random_encoder
from sslfast.run.environment import Start
from sslfast.run.inventory import write_inventory
from sslfast.run.summary import Fault, RunSummary
from sslfast.weights import NamedEncoder
from tests.report.markup import Page

HOSTILE = "<script>alert(1)<script>&$x$"  # as a folder's name
KNN = "kNN accuracy on held-out images"
CURVES = {"Training loss", KNN, "Learning rate", "Training speed, images per second"}
PICTURES = {"views.1", "neighbor 1", "query"}
ALL = CURVES | PICTURES | {"t-SNE"}


def read_page(path: Path) -> Page:
    """The page, which is the only file beside it."""
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return Page(path.read_text())


def drawn(page: Page) -> set[str]:
    """Which of the curves and pictures a page has."""
    curves = {name for name in CURVES if any(chart.startswith(f"{name}. ") for chart in page.charts)}
    pictures = {name for name in PICTURES if any(name in description for description in page.pictures)}
    return curves | pictures | {"t-SNE" for chart in page.charts if "t-SNE" in chart}


def write_images(folder: Path, classes: Sequence[str], each: int) -> Path:
    generator = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            pixels = generator.integers(0, 60, (16, 16, 3), dtype=np.uint8)
            pixels[..., number % 3] += 150
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def start_run(folder: Path, data: Path) -> Path:
    """A run's directory as it is before the first step."""
    recipe = from_dict(
        {
            "method": {"name": "moco_v2"},
            "encoder": {"stem": "cifar", "width": 0.125},
            "data": {"source": str(data), "size": 16, "val_fraction": 0.5},
        }
    )
    folder.mkdir()
    (folder / "config.yaml").write_text(to_yaml(recipe))
    return folder


def train(run: Path, *, labelled: bool = True) -> None:
    """Adds what some epochs of training leave behind."""
    recipe = from_dict(yaml.safe_load((run / "config.yaml").read_text()))
    (run / "checkpoints").mkdir()
    weights = {f"encoder.{name}": value for name, value in build_encoder(recipe.encoder).state_dict().items()}
    checkpoint.save(run / "checkpoints" / "last.pt", {"config": to_dict(recipe), "method": weights})
    lines = []
    for step in range(1, 31):
        epoch = step / 10
        lines.append(
            {
                "step": step,
                "epoch": epoch,
                "loss": 7 - epoch,
                "lr": 0.01 * math.exp(-epoch),
                "images_per_second": 99,
            }
        )
        if labelled and step % 10 == 0:
            lines.append({"step": step, "epoch": epoch, "knn_top1": 0.2 + epoch / 10, "knn_initial_top1": 0.2})
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_a_whole_run(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", HOSTILE, "c"], each=8))
    train(run)
    row = {"encoder": "pre-trained", "k": 200, "top1": 0.4321, "top5": 0.9}
    for data in ("images", "others"):
        Evaluation("knn", "last.pt", data, None, {}, 54, 6, 3, 1 / 3, [row]).save(run / "evaluation")

    index = write_report(run)
    assert index == run / "report" / "index.html"
    page = read_page(index)
    assert drawn(page) == ALL
    for part in (
        "3 of 200",
        "43.2%",
        "54 training images",
        "held-out top-1 of 6",
        "14.8 to 76.9%",  # Wilson's interval for 43.21% of 6
        "knn on images",
        "knn on others",
        "Nearest neighbors",
        "pre-trained",
        "random weights",
        "max_bad_steps: 10",
    ):
        assert part in page.text, part


def test_random_weights_stand_beside_the_trained_ones(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=20))
    train(run)
    page = read_page(write_report(run))
    assert page.pictures.count("query: a") + page.pictures.count("query: b") == QUERIES
    assert sum(description.startswith("neighbor") for description in page.pictures) == 2 * QUERIES * NEIGHBORS
    assert [chart for chart in page.charts if "t-SNE" in chart] == [
        f"t-SNE of the features of 20 images, {name}" for name in ("pre-trained", "random weights")
    ]
    trained, random = embeddings(run)
    assert trained != random

    state = checkpoint.load(run / "checkpoints" / "last.pt")
    config = from_dict(state["config"])
    initial = random_encoder(config.encoder, config.data, config.train.seed).state_dict()
    weights = {f"encoder.{name}": value for name, value in initial.items()}
    checkpoint.save(run / "checkpoints" / "last.pt", {**state, "method": weights})
    same, as_before = embeddings(run)
    assert same == as_before == random


def embeddings(run: Path) -> list[str]:
    """The drawings of the embeddings on the page of a run."""
    return re.findall(r'aria-label="t-SNE[^"]*">(.*?)</svg>', write_report(run).read_text())


def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    run = start_run(tmp_path / f"run {HOSTILE}", write_images(tmp_path / HOSTILE, ["a", HOSTILE], each=10))
    train(run)
    Evaluation(HOSTILE, "last.pt", HOSTILE, HOSTILE, {}, 1, 1, 3, 0.3, [{"encoder": HOSTILE}]).save(
        run / "evaluation"
    )
    page = read_page(write_report(run))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) >= 6  # title, heading, data, configuration, evaluation
    assert f"query: {HOSTILE}" in page.pictures


def test_names_that_no_terminal_or_page_can_show(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, as a folder that was packed under another code page has them."""
    odd = [os.fsdecode(b"\xb4\xac"), "red\x1b[31m\n"]
    images = write_images(tmp_path / odd[0], ["a", *odd], each=10)
    run = start_run(tmp_path / f"run {odd[0]}", images)
    train(run)
    Evaluation("knn", str(run), str(images), None, {}, 1, 1, 3, 0.3, [{"encoder": "x"}]).save(run / "evaluation")
    page = read_page(write_report(run))
    assert drawn(page) == ALL
    assert r"run \udcb4\udcac" in page.text
    assert "\x1b" not in page.text
    with pytest.raises(UsageError, match="is not UTF-8, as TensorBoard's files must be"):
        pretrain("moco_v2_shapes", tmp_path / odd[0] / "run")


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3))
    page = read_page(write_report(run))
    assert drawn(page) == {"views.1"}
    assert "logged nothing yet" in page.text
    assert "no checkpoint yet" in page.text


def test_a_run_that_has_learned_nothing(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3))
    fault = Fault("loss_at_chance", "the loss ends at ln K & <so> it has learned nothing; lower optim.lr")
    RunSummary(200, 200, 0, 5.5, 5.5, None, None, None, None, 0, True, [fault]).save(run / "summary.json")
    page = read_page(write_report(run))
    assert "The loss ends at ln K & <so> it has learned nothing; lower optim.lr." in page.text
    RunSummary(200, 4, 0, 5.5, 5.5, None, None, None, None, 0, True, [fault]).save(run / "summary.json")
    assert "learned nothing" not in read_page(write_report(run)).text  # it was extended since, and goes on
    RunSummary(200, 200, 0, 3.5, 5.5, None, None, None, None, 0, True, []).save(run / "summary.json")
    assert "learned nothing" not in read_page(write_report(run)).text
    (run / "summary.json").write_text("{}")
    with pytest.raises(UsageError, match=r"summary\.json: not the summary of a run"):
        write_report(run)


def test_too_few_held_out_images_for_an_embedding(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3))
    train(run)
    page = read_page(write_report(run))
    assert drawn(page) == ALL - {"t-SNE"}
    assert "3 held-out images are too few" in page.text


def test_without_labels(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["all"], each=24) / "all")
    train(run, labelled=False)
    page = read_page(write_report(run))
    assert drawn(page) == ALL - {KNN}
    assert "trained on all of them" in page.text


def test_a_run_without_knn(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=10))
    train(run, labelled=False)
    page = read_page(write_report(run))
    assert drawn(page) == ALL - {KNN}
    assert "kNN top-1" not in page.text


def test_an_interrupted_run_of_a_single_line(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=10))
    train(run)
    line = {"step": 10, "epoch": 0.5, "loss": 6.5, "lr": 0.01, "images_per_second": 64.0, "skipped_steps": 3}
    (run / "metrics.jsonl").write_text(json.dumps(line) + '\n{"step": 20, "ep')
    page = read_page(write_report(run))
    assert drawn(page) == ALL - {KNN}
    for part in ("0.5 of 200", "not finished; goes on with --resume", "6.500", "3 steps", "40 s"):  # 10 x 256 / 64
        assert part in page.text, part


def test_several_evaluations_of_a_protocol(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    for step, top1 in ((10, 0.25), (20, 0.75)):
        row = {"encoder": "pre-trained", "train_top1": 0.9, "top1": top1, "class_mean": top1 - 0.0625}
        for kind in ("knn", "linear"):
            Evaluation(kind, "last.pt", "images", None, {"k": 20}, 1000, 60, 3, 0.25, [row], step=step).save(
                run / "evaluation"
            )
    page = read_page(write_report(run))
    headings = [text for level, text in page.headings if level == 3]
    assert headings == ["knn on images", "knn on images", "linear on images", "linear on images"]
    assert page.sections().count("Evaluations") == 1
    intervals = ("15.8 to 37.2%", "88.0 to 91.7%")  # of 15 of 60, 900 of 1,000
    for part in ("at step 10", "at step 20", *intervals, "68.8%", "k=20"):
        assert part in page.text, part


def test_when_where_and_how_a_run_was_made(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=10))
    train(run)
    page = read_page(write_report(run))
    assert "date, hardware and versions were not recorded" in page.text
    assert "on 10 held-out images" in page.text  # as the data tells

    date, versions = "2026-11-29T17:26:09+00:00", {"torch": "2.11"}
    start = Start(date, 0, "A GPU", "A CPU", 8, 2, "Linux x86_64", versions, train_images=90, held_out_images=1000)
    later = dataclasses.replace(
        start, date="2026-11-30T08:00:00+00:00", step=1200, processes=1, device="CPU", epochs=3
    )
    latest = dataclasses.replace(later, step=2400, epochs=9)
    lines = [json.dumps(dataclasses.asdict(each)) + "\n" for each in (start, later, latest)]
    (run / "environment.jsonl").write_text("".join(lines))
    page = read_page(write_report(run))
    for part in (
        *("2026-11-29 17:26 UTC", "2026-11-30 08:00 UTC at step 1,200", "at step 2,400, extended to 9 epochs"),
        *("90 trained on, 1,000 held out", "torch 2.11"),
        "2 processes, each with A GPU; A CPU, 8 threads; Linux x86_64; A CPU, 8 threads; Linux x86_64",
        "kNN is 30.0 points above random initialisation, on 1,000 held-out images; their 95% intervals do not",
    ):
        assert part in page.text, part


def test_data_that_is_gone(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    train(run)
    page = read_page(write_report(run))
    assert drawn(page) == CURVES
    assert "no such file or folder" in page.text
    with pytest.raises(UsageError, match="no such file or folder"):
        write_report(run, str(tmp_path / "elsewhere"))

    images = write_images(tmp_path / "found", ["a", "b"], each=10)
    assert drawn(read_page(write_report(run, str(images)))) == ALL


def test_the_runs_images_are_split_as_in_training_when_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = write_images(tmp_path / "images", ["a", "b"], each=10)
    run = start_run(tmp_path / "run", images)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["max_bad"] = 0.1
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    train(run)
    source = open_source(str(images))
    write_inventory(run / "images.json.gz", take_inventory(source))
    _, expected = split(source, 0.5)
    seen: list[Source] = []
    monkeypatch.setattr(features, "split", lambda source, share: seen.extend(split(source, share)) or seen)
    (images / "a" / "3.png").unlink()
    write_report(run)
    assert seen[1].paths == expected.paths
    for number in range(8):
        (images / "b" / f"{number}.png").unlink()
    page = read_page(write_report(run))
    assert drawn(page) == CURVES
    assert "does not hold the images of the run" in page.text


def test_an_unreadable_image_stops_it_where_the_recipe_says_so(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", ["a", "b"], each=3)
    (images / "b" / "1.png").write_bytes(b"")
    run = start_run(tmp_path / "run", images)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"] |= {"on_error": "stop", "max_bad": 1.0}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UsageError, match=r"cannot read .*b/1\.png .*on_error=skip"):
        write_report(run)


def test_an_encoder_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its evaluations and what its features show; not the evaluations of others that lie there too."""
    data = write_images(tmp_path / "images", ["a", "b"], each=12)
    torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / "theirs.pth")
    torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / "others.pth")
    settings = ["k=[5]", "val_fraction=0.5", "limit=8"]
    for file in ("theirs.pth", "others.pth"):
        evaluate("knn", tmp_path / file, str(data), overrides=settings, random_baseline=False)
    assert len(list((tmp_path / "evaluation").glob("*.json"))) == 2
    index = write_report(tmp_path / "theirs.pth", str(data))
    assert index == tmp_path / "report" / "theirs.pth.html"
    page = read_page(index)
    assert page.sections() == ["Evaluations", "Nearest neighbors", "Embedding"]
    assert sum("knn on" in text for _, text in page.headings) == 1
    assert "resnet18, 64 features, images of 224 pixels" in page.text
    assert "The run" not in page.text

    config = EncoderConfig(stem="cifar", width=0.125)
    library = NamedEncoder("timm/a<b>", build_encoder(config).eval(), config, DataConfig(size=16))
    monkeypatch.setattr(command, "find_encoder", lambda *_, **__: library)
    monkeypatch.chdir(tmp_path)
    assert write_report("timm/a<b>", str(data)) == Path("report") / "timm_a_b_.html"
    page = Page((tmp_path / "report" / "timm_a_b_.html").read_text())
    assert page.sections() == ["Nearest neighbors", "Embedding"]
    assert page.headings[0] == (1, "timm/a<b>")


def test_files_of_names_that_are_alike_have_pages_of_their_own(tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", ["a", "b"], each=10)
    for name in ("my weights.pth", "my_weights.pth"):
        torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / name)
        assert write_report(tmp_path / name, str(data)) == tmp_path / "report" / f"{name}.html"


def test_an_encoder_without_images_or_that_is_none(tmp_path: Path) -> None:
    torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(UsageError, match=r"theirs\.pth: no run's directory, .* give --data"):
        write_report(tmp_path / "theirs.pth")
    with pytest.raises(UsageError, match=r"their\.pth.*expected a run's directory, a file of weights"):
        write_report(tmp_path / "their.pth", "shapes")
    (tmp_path / "report").touch()
    data = write_images(tmp_path / "images", ["a", "b"], each=10)
    with pytest.raises(UsageError, match=r"report: cannot draw the report: File exists"):
        write_report(tmp_path / "theirs.pth", str(data))


def test_how_to_take_a_state_dict_is_refused_for_a_run(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    with pytest.raises(UsageError, match="--architecture resnet50: .*run has one already"):
        write_report(run, architecture="resnet50")
    with pytest.raises(UsageError, match="--partial: .*run is none"):
        write_report(run, partial=True)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        write_report(tmp_path)


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    (run / "report").touch()
    with pytest.raises(UsageError, match=r"run/report: cannot draw the report: File exists"):
        write_report(run)


@pytest.mark.parametrize("text", [": [", "[]", "5"])
def test_a_damaged_configuration(tmp_path: Path, text: str) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    (run / "config.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"config\.yaml: not the configuration of a run"):
        write_report(run)


VALID = {
    "kind": "knn",
    "checkpoint": "last.pt",
    "data": "images",
    "val": None,
    "options": {"k": 20},
    "train_images": 54,
    "val_images": 6,
    "classes": 3,
    "chance": 0.3,
    "rows": [{"encoder": "x", "top1": 0.5}],
}


@pytest.mark.parametrize(
    "changes",
    [
        *({"rows": 5}, {"rows": [5]}, {"rows": ["x"]}, {"rows": [{"top1": "x"}]}, {"rows": [{"top1": -3.0}]}),
        *({"options": 5}, {"val_images": "x"}, {"val_images": -6}, {"chance": "x"}, {"unknown": 1}),
    ],
)
def test_what_is_not_an_evaluation_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    (run / "evaluation").mkdir()
    file = run / "evaluation" / "knn.json"
    file.write_text(json.dumps(VALID))
    write_report(run)
    for text in ("[1, 2", json.dumps({**VALID, **changes})):
        file.write_text(text)
        with pytest.raises(UsageError, match=r"knn\.json: not an evaluation"):
            write_report(run)
