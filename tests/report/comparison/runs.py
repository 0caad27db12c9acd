"""Runs as they lie on the disk, written without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sslfast.recipes.load import load_recipe, to_yaml
from sslfast.run.directory import RunDirectory


def write_run(path: Path, recipe: str, *overrides: str, epochs: int = 2) -> Path:
    """Writes a run of so many epochs of 4 steps, with kNN before the first and after each."""
    run = RunDirectory(path)
    path.mkdir(parents=True)
    run.config.write_text(to_yaml(load_recipe(recipe, [*overrides, "train.epochs=2"])))
    lines: list[dict[str, float]] = [{"step": 0, "epoch": 0.0, "knn_top1": 0.25, "knn_initial_top1": 0.25}]
    for step in range(1, 4 * epochs + 1):
        values = {"loss": 5.0 - step / 8, "lr": 0.1, "images_per_second": 100.0 + step}
        lines.append({"step": step, "epoch": step / 4, **values})
        if step % 4 == 0:
            lines.append({"step": step, "epoch": step / 4, "knn_top1": 0.25 + step / 20, "knn_initial_top1": 0.25})
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    start = {"date": "2026-01-01", "step": 0, "device": "CPU", "cpu": "one", "threads": 1, "processes": 1}
    start |= {"system": "Linux", "versions": {}, "train_images": 900, "held_out_images": 100}
    run.environment.write_text(json.dumps(start) + "\n")
    return path


def write_evaluation(run: Path, name: str, rows: list[dict[str, Any]], **changes: Any) -> Path:
    """Writes a result of kNN in a run."""
    result = {
        "kind": "knn",
        "checkpoint": "last.pt",
        "data": "CIFAR10",
        "val": None,
        "options": {"k": [5, 20], "temperature": [0.1], "device": "auto", "limit": None},
        "train_images": 900,
        "val_images": 100,
        "classes": 10,
        "chance": 0.1,
        "rows": rows,
        "step": 8,
        "weights": "a1",
    }
    path = run / "evaluation" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**result, **changes}))
    return path


def knn_row(top1: float, encoder: str = "pre-trained", **values: Any) -> dict[str, Any]:
    """Makes a row of kNN's table."""
    return {"encoder": encoder, "k": 5, "temperature": "0.1", "top1": top1, **values}
