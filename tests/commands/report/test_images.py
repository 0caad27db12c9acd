"""The images that a page shows."""

import re
from pathlib import Path

import pytest
import yaml

from sslfast.commands.report import write_report
from sslfast.data import Source, open_source, split
from sslfast.data.inventory import take_inventory
from sslfast.errors import UsageError
from sslfast.recipes.load import from_dict
from sslfast.report import features
from sslfast.report.neighbors import NEIGHBORS, QUERIES
from sslfast.run import checkpoint
from sslfast.run.backbone import random_encoder
from sslfast.run.inventory import write_inventory
from tests.commands.report.runs import ALL, CURVES, drawn, read_page, start_run, train, write_images


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
    """Finds the drawings of the embeddings on the page of a run."""
    return re.findall(r'aria-label="t-SNE[^"]*">(.*?)</svg>', write_report(run).read_text())


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
