"""Runs as they lie on the disk, and their pages as a person sees them."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from sslfast.encoders import build_encoder
from sslfast.recipes.load import from_dict, to_dict, to_yaml
from sslfast.run import checkpoint
from tests.report.markup import Page

HOSTILE = "<script>alert(1)<script>&$x$"  # as a folder's name


KNN = "kNN accuracy on held-out images"


CURVES = {"Training loss", KNN, "Learning rate", "Training speed, images per second"}


PICTURES = {"views.1", "neighbor 1", "query"}


ALL = CURVES | PICTURES | {"t-SNE"}


def read_page(path: Path) -> Page:
    """Reads the page, which is the only file beside it."""
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return Page(path.read_text())


def drawn(page: Page) -> set[str]:
    """Tells which of the curves and pictures a page has."""
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
    """Writes a run's directory as it is before the first step."""
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


def train(run: Path, *, labeled: bool = True) -> None:
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
        if labeled and step % 10 == 0:
            lines.append({"step": step, "epoch": epoch, "knn_top1": 0.2 + epoch / 10, "knn_initial_top1": 0.2})
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
