"""Each notebook of examples/ is run, in small: its cells in this process, and by Jupyter where that is."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sslfast.run.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {
    "kernels": "num_queries, num_keys, dim = 8, 32, 16",
    "photographs_to_neighbors": """
settings = {"data.size": 32, "data.batch_size": 8, "encoder.width": 0.125, "encoder.norm": "batch"}
settings |= {"train.epochs": 1, "train.threads": 1, "train.precision": "fp32", "method.queue_size": 8}
""",
}  # what a test sets after the cell of parameters, to be quick


def cells(name):
    """Reads the notebook, with the test's parameters."""
    notebook = json.loads((ROOT / "examples" / f"{name}.ipynb").read_text())
    (parameters,) = (cell for cell in notebook["cells"] if cell["metadata"].get("tags") == ["parameters"])
    parameters["source"].append("\n" + NOTEBOOKS[name])
    return notebook


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Writes photographs/ into the present folder: 16 images, two of which are the same."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(15):
        pixels = generator.integers(0, 256, (5 + number % 3, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 40)).save(folder / f"{number:02}.png")
    (folder / "copy.png").write_bytes((folder / "07.png").read_bytes())
    monkeypatch.chdir(tmp_path)


def test_every_notebook_is_run_and_named_on_a_page():
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    names = {path.stem for path in (ROOT / "examples").glob("*.ipynb")}
    assert names == NOTEBOOKS.keys()
    assert all(f"examples/{name}.ipynb" in pages for name in names)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_has_no_outputs(name):
    for cell in cells(name)["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_cells_run(name, photographs, capsys):
    names = {"__name__": "notebook"}
    for cell in cells(name)["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    printed = capsys.readouterr().out
    if name == "kernels":
        torch.testing.assert_close(names["gradient"], names["expected_gradient"])
        assert names["pixels"].shape == (96, 192, 3)
        assert {line.partition(":")[0] for line in printed.splitlines()[1:]} == {"PyTorch", "sslfast"}
        return
    assert names["run"].metrics[-1]["epoch"] == 1
    assert [matches[0].similarity for matches in names["lines"]] == pytest.approx([1, 1, 1])
    assert names["sheet"].size == (5 * 128, 3 * 128)
    assert "07.png" in printed
    assert "copy.png" in printed


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_shows_pictures_in_jupyter(name, photographs, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.reads(json.dumps(cells(name)), as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "image/png" in kinds
    if name == "photographs_to_neighbors":
        assert any("<iframe" in output.get("data", {}).get("text/html", "") for output in outputs)  # the run
        texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
        assert any(re.search(r"moco_v2: .*img/s", text) for text in texts)  # the bar
        assert read_metrics(tmp_path / "runs" / "photos" / "metrics.jsonl")
