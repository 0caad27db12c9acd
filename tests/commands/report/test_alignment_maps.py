"""LEWEL's alignment maps on the page of a run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sslfast.commands.report import write_report
from sslfast.config import Recipe
from sslfast.data import open_source
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.load import from_dict, to_dict, to_yaml
from sslfast.report.alignment_maps import alignment_maps, find_maps
from sslfast.run import checkpoint
from sslfast.views import from_rgb
from sslfast.weights.method import load_method
from tests.commands.report.runs import read_page, start_run, train, write_images

SIDE = 32


def lewel_run(folder: Path, data: Path, **settings: Any) -> Recipe:
    """Writes a run of LEWEL_M with random weights, whose recipe it returns."""
    small = {"dim": 8, "aligned_dim": 6, "hidden": 16, "groups": 2, "queue_size": 16}
    recipe = from_dict(
        {
            "method": {"name": "lewel_m", **small, **settings},
            "encoder": {"stem": "cifar", "width": 0.125},
            "data": {"source": str(data), "size": SIDE, "val_fraction": 0.5, "batch_size": 8},
        }
    )
    torch.manual_seed(0)
    method = METHODS["lewel_m"](recipe, build_encoder(recipe.encoder), 20)
    state = {"config": to_dict(recipe), "method": method.state_dict(), "images": 20}
    (folder / "checkpoints").mkdir(parents=True)
    checkpoint.save(folder / "checkpoints" / "last.pt", state)
    (folder / "config.yaml").write_text(to_yaml(recipe))
    return recipe


def test_a_run_shows_its_maps_over_held_out_images(tmp_path: Path) -> None:
    run = tmp_path / "run"
    lewel_run(run, write_images(tmp_path / "images", ["a", "b"], each=10))
    page = read_page(write_report(run))
    assert page.sections().index("Alignment maps") == page.sections().index("Embedding") + 1
    assert "its first 5 of 8 alignment maps" in page.text
    assert "The run did not train on them." in page.text
    titles = [text.partition(", weights ")[0] for text in page.pictures if text.startswith("map ")]
    assert titles == [f"map {number}" for number in range(1, 6)] * 8
    extents = [text.partition(", weights ")[2].split(" to ") for text in page.pictures if text.startswith("map ")]
    assert all(float(least) <= 1 <= float(greatest) for least, greatest in extents)


def test_the_maps_drawn_are_those_that_pool(tmp_path: Path) -> None:
    run, images = tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=3)
    data, source = lewel_run(run, images, group_order="paper").data, open_source(str(images))
    method = load_method(run)
    found = find_maps(method, source, data)
    assert [aligned.position for aligned in found] == list(range(6))
    seen = from_rgb(torch.stack([aligned.image for aligned in found]), data.mean, data.std)
    with torch.no_grad():
        features = method.encoder(seen, dense=True)
        _, aligned = method.head(features)
        # Of the paper's order maps 1 and 2 are those of the first aligned embedding's two groups of channels.
        maps = torch.stack([each.maps for each in found])[:, :2]
        pooled = torch.einsum("bgyx,bgcyx->bgc", maps, features.unflatten(1, (2, -1))).flatten(1)
        torch.testing.assert_close(aligned[:, 0], method.head.aligned_projector(pooled))


@pytest.mark.parametrize("maps", ["random", "gap"])
def test_maps_that_are_not_learned_are_not_drawn(tmp_path: Path, maps: str) -> None:
    images = write_images(tmp_path / "images", ["a", "b"], each=3)
    recipe = lewel_run(tmp_path / "run", images, maps=maps)
    assert not list(alignment_maps(tmp_path / "run", recipe, open_source(str(images)), is_run_data=True))


def test_other_methods_have_none(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", write_images(tmp_path / "images", ["a", "b"], each=10))
    train(run)
    assert "Alignment maps" not in read_page(write_report(run)).sections()


def test_a_checkpoint_of_another_head_is_refused(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", ["a", "b"], each=3)
    lewel_run(tmp_path / "run", images)
    state = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.pt")
    state["method"]["head.projector.0.weight"] = torch.zeros(3, 64)
    checkpoint.save(tmp_path / "run" / "checkpoints" / "last.pt", state)
    with pytest.raises(UsageError, match=r"does not fit its recipe \(method\.head\.projector\.0\.weight"):
        load_method(tmp_path / "run")
