import json
import math
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from sslfast.commands.report import write_report
from sslfast.data import Source
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.evaluate.result import Evaluation
from sslfast.recipes.load import from_dict, to_dict, to_yaml
from sslfast.report import grids
from sslfast.report.curves import series, smoothed
from sslfast.report.embedding import draw_embedding
from sslfast.report.style import BLUE, VERMILION, shortened
from sslfast.run import checkpoint
from sslfast.run.logs import read_metrics

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
    config = from_dict(
        {
            "method": {"name": "moco_v2"},
            "encoder": {"stem": "cifar", "width": 0.125},
            "data": {"source": str(data), "size": 16, "val_fraction": 0.5},
        }
    )
    folder.mkdir()
    (folder / "config.yaml").write_text(to_yaml(config))
    return folder


def train(run: Path, *, labelled: bool = True) -> None:
    """Adds what some epochs of training leave behind."""
    config = from_dict(yaml.safe_load((run / "config.yaml").read_text()))
    (run / "checkpoints").mkdir()
    weights = {f"encoder.{name}": value for name, value in build_encoder(config.encoder).state_dict().items()}
    checkpoint.save(run / "checkpoints" / "last.pt", {"config": to_dict(config), "method": weights})
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


def captured(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures of `grids`, which then writes no files."""
    figures: list[Figure] = []
    monkeypatch.setattr(grids, "save", lambda figure, path: figures.append(figure) or path)
    return figures


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


def test_half_a_line_and_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "epoch": 0.5, "loss": 3.0}\n{"step": 2, "epoch": 1.0, "loss": NaN}\n'
        '"text"\n\0\0\n{"step": 3, "ep'
    )
    metrics = read_metrics(path)
    assert [line["step"] for line in metrics] == [1, 2]
    assert series(metrics, "loss") == ([0.5], [3.0])
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_smoothing_follows_a_line_and_calms_noise() -> None:
    line = [3.0 - 0.1 * i for i in range(50)]
    assert smoothed(line, 10) == pytest.approx(line)
    noise = [(-1.0) ** i for i in range(50)]
    assert max(map(abs, smoothed(noise, 10)[10:40])) < 0.06


def test_frames_tell_right_neighbours_from_wrong_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = captured(monkeypatch)
    black = np.zeros((6, 4, 4, 3), dtype=np.uint8)
    bank = Source("bank", images=black, labels=np.array([0, 1, 0, 1, 0, 1]), classes=["even", "odd"])
    query = Source("query", images=black[:1], labels=np.array([1]), classes=["even", "odd"])
    angles = torch.tensor([0.3, 0.1, 0.2, 0.5, 0.4, 3.0])  # from the query, which lies along the first axis
    bank_x = torch.stack([angles.cos(), angles.sin()], dim=1)
    grids.draw_neighbours(bank, query, bank_x, torch.tensor([[1.0, 0.0]]), tmp_path / "neighbours.png")

    asked, _, *neighbours = figures[0].axes
    assert asked.get_xlabel() == "odd"
    assert [plot.get_xlabel() for plot in neighbours] == ["odd", "even", "even", "even", "odd"]
    frames = [to_hex(plot.spines["top"].get_edgecolor()).upper() for plot in neighbours]
    assert frames == [BLUE, VERMILION, VERMILION, VERMILION, BLUE]


def test_embedding_of_many_classes_and_of_too_few_images(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    path = tmp_path / "embedding.png"
    assert draw_embedding(x, np.arange(60) % 30, [f"class {i}" for i in range(30)], path) == path
    assert path.exists()
    assert draw_embedding(x[:9], None, [], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()


def test_names_are_shortened_and_no_formulas() -> None:
    assert shortened("airplane", 16) == "airplane"
    assert shortened("a" * 40, 16) == "a" * 15 + "…"
    assert shortened("a$b", 16) == r"a\$b"
