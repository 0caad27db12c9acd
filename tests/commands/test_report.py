"""`sslfast report`: the page of a run, whatever the run has by then."""

import json
import math
import os
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sslfast.commands.pretrain import pretrain
from sslfast.commands.report import write_report
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.evaluation.result import Evaluation
from sslfast.recipes.load import from_dict, to_dict, to_yaml
from sslfast.run import checkpoint

HOSTILE = "<script>alert(1)<script>&$x$"  # as a folder's name
CURVES = {"loss.png", "learning_rate.png", "knn.png"}
PICTURES = {"views.png", "neighbours.png", "embedding.png"}


class Page(HTMLParser):
    """The tags, pictures and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.pictures: list[str] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


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
            lines.append({"step": step, "epoch": epoch, "knn_top1": 0.2 + epoch / 10, "knn_random_top1": 0.2})
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_a_whole_run(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", HOSTILE, "c"], each=8))
    train(run)
    row = {"encoder": "pre-trained", "k": 200, "top1": 0.4321, "top5": 0.9}
    for data in ("images", "others"):
        Evaluation("knn", "last.pt", data, None, {}, 54, 6, 3, 1 / 3, [row]).save(run / "evaluation")

    index = write_report(run)
    assert index == run / "report" / "index.html"
    page = Page(index)
    assert {*page.pictures} == CURVES | PICTURES
    for name in page.pictures:
        with Image.open(index.parent / name) as image:
            assert min(image.size) > 200
    for part in (
        "3 of 200 epochs",
        "43.2%",
        "held-out top-1",
        "54 training images",
        "knn on images",
        "knn on others",
        "feature",
        "max_bad_steps: 10",
    ):
        assert part in page.text, part


def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    run = start_run(tmp_path / f"run {HOSTILE}", write_images(tmp_path / HOSTILE, ["a", "b"], each=10))
    Evaluation(HOSTILE, "last.pt", HOSTILE, HOSTILE, {}, 1, 1, 3, 0.3, [{"encoder": HOSTILE}]).save(
        run / "evaluation"
    )
    page = Page(write_report(run))
    assert "script" not in page.tags
    assert page.text.count(HOSTILE) >= 6  # title, heading, data, configuration, evaluation


def test_names_that_no_terminal_or_page_can_show(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, as a folder that was packed under another code page has them."""
    odd = [os.fsdecode(b"\xb4\xac"), "red\x1b[31m\n"]
    images = write_images(tmp_path / odd[0], ["a", *odd], each=10)
    run = start_run(tmp_path / f"run {odd[0]}", images)
    train(run)
    Evaluation("knn", str(run), str(images), None, {}, 1, 1, 3, 0.3, [{"encoder": "x"}]).save(run / "evaluation")
    page = Page(write_report(run))
    assert {*page.pictures} == CURVES | PICTURES
    assert r"run \udcb4\udcac" in page.text
    assert "\x1b" not in page.text
    with pytest.raises(UsageError, match="is not UTF-8, as TensorBoard's files must be"):
        pretrain("moco_v2_shapes", tmp_path / odd[0] / "run")


def test_a_run_that_has_just_begun(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3))
    page = Page(write_report(run))
    assert page.pictures == ["views.png"]
    assert "logged nothing yet" in page.text
    assert "no checkpoint yet" in page.text


def test_too_few_held_out_images_for_an_embedding(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3))
    train(run)
    page = Page(write_report(run))
    assert {*page.pictures} == CURVES | PICTURES - {"embedding.png"}
    assert "3 held-out images are too few" in page.text


def test_without_labels(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["all"], each=24) / "all")
    train(run, labelled=False)
    page = Page(write_report(run))
    assert {*page.pictures} == CURVES - {"knn.png"} | PICTURES
    assert "trained on all of them" in page.text


def test_data_that_is_gone(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    train(run)
    page = Page(write_report(run))
    assert {*page.pictures} == CURVES
    assert "no such file or folder" in page.text
    with pytest.raises(UsageError, match="no such file or folder"):
        write_report(run, str(tmp_path / "elsewhere"))

    images = write_images(tmp_path / "found", ["a", "b"], each=10)
    assert {*Page(write_report(run, str(images))).pictures} == CURVES | PICTURES


def test_an_unreadable_image_stops_it_where_the_recipe_says_so(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", ["a", "b"], each=3)
    (images / "b" / "1.png").write_bytes(b"")
    run = start_run(tmp_path / "run", images)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"] |= {"on_error": "stop", "max_bad": 1.0}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(UsageError, match=r"cannot read .*b/1\.png .*on_error=skip"):
        write_report(run)


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


def test_what_is_not_an_evaluation_is_named(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    (run / "evaluation").mkdir()
    (run / "evaluation" / "knn.json").write_text("[1, 2")
    with pytest.raises(UsageError, match=r"knn\.json: not an evaluation"):
        write_report(run)
