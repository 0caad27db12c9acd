"""Each script of examples/ is run, in small."""

import runpy
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import sslfast
from sslfast.cli import main
from sslfast.methods import METHODS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TINY = ("data.size=32", "data.batch_size=8", "encoder.width=0.125", "train.epochs=1", "train.threads=1")
FP32 = "train.precision=fp32"  # on every CPU alike
LESS = (FP32, "method.queue_size=8", "encoder.norm=batch", "data.val_fraction=0.2")


def run_example(name, *arguments):
    """Runs a script as a person does, in this process; returns its names."""
    with patch.object(sys, "argv", [f"{name}.py", *map(str, arguments)]):
        return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Writes a folder of 25 images of two classes, of sizes of their own; two of them are the same."""
    folder = tmp_path_factory.mktemp("photographs")
    generator = np.random.default_rng(0)
    for number in range(24):
        pixels = generator.integers(0, 90, (40 + number, 48, 3), dtype=np.uint8)
        pixels[..., number % 2] += 150
        path = folder / ("red", "green")[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    (folder / "red" / "copy.png").write_bytes((folder / "red" / "0.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def run(photographs, tmp_path_factory):
    """Makes the run that photographs.py makes."""
    out = tmp_path_factory.mktemp("run") / "photos"
    run_example("photographs", photographs, "--out", out, *TINY, *LESS)
    return out


def test_every_example_is_run_and_named_on_a_page():
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    here = Path(__file__).read_text()
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert names == {name for name in names if f'run_example("{name}"' in here and f"examples/{name}.py" in pages}


def test_every_sweep_is_run_and_named_on_a_page(photographs, tmp_path, capsys):
    """Here its commands alone; tests/stories/ runs them."""
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    for path in EXAMPLES.glob("*.yaml"):
        assert f"examples/{path.name}" in pages
        command = ["sweep", str(path), "--data", str(photographs), "--out", str(tmp_path / "runs"), "--dry-run"]
        assert main(command) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sum(" pretrain " in line for line in lines) == sum(" evaluate " in line for line in lines) == 3


def test_kernel_in_your_loop(capsys):
    sizes = ("--steps", 3, "--batch-size", 8, "--queue-size", 16, "--log-every", 1)
    names = run_example("kernel_in_your_loop", *sizes)
    assert [line[:12] for line in capsys.readouterr().out.splitlines()] == [f"step {n}: loss" for n in (1, 2, 3)]
    assert names["pointer"] == 3 * 8 % 16
    weights = [network.fc[0].weight for network in (names["network"], names["key_network"])]
    assert not torch.equal(*weights)
    torch.testing.assert_close(*weights, rtol=0, atol=0.1)


class PlainNTXentLoss(nn.Module):
    """Stands in for lightly's, by the formula."""

    def __init__(self, temperature):
        super().__init__()
        self.temperature = temperature

    def forward(self, z1, z2):
        z = F.normalize(torch.cat([z1, z2]), dim=1)
        logits = (z @ z.T / self.temperature).fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z1)))


def test_lightning_module(capsys):
    pytest.importorskip("lightning")
    sizes = ("--epochs", 1, "--images", 24, "--batch-size", 8, "--queue-size", 16)
    names = run_example("lightning_module", *sizes)
    model = names["model"]
    assert model.pointer == 3 * 8 % 16
    assert set(names["trainer"].callback_metrics) == {"loss", "accuracy"}
    assert "'loss'" in capsys.readouterr().out
    weights = [network.fc[0].weight for network in (model.network, model.key_network)]
    assert not torch.equal(*weights)
    torch.testing.assert_close(*weights, rtol=0, atol=0.1)


def test_replace_lightly(capsys, monkeypatch):
    losses = ModuleType("lightly.loss")
    losses.NTXentLoss = type("NTXentLoss", (PlainNTXentLoss,), {"__module__": "lightly.loss"})
    package = ModuleType("lightly")
    package.loss = losses
    monkeypatch.setitem(sys.modules, "lightly", package)
    monkeypatch.setitem(sys.modules, "lightly.loss", losses)
    names = run_example("replace_lightly", "--batch-size", 16, "--dim", 8, "--seconds", 0.01)
    torch.testing.assert_close(names["our_loss"], names["loss"])
    torch.testing.assert_close(names["our_gradient"], names["gradient"])
    assert names["swapped"] == ["lightly.loss.NTXentLoss"]
    assert "lightly.loss.NTXentLoss: True" in capsys.readouterr().out
    assert issubclass(losses.NTXentLoss, PlainNTXentLoss)  # it is back


def test_views_in_a_dataloader(photographs, tmp_path, capsys):
    sheet = tmp_path / "views.png"
    run_example("views_in_a_dataloader", photographs, "--size", 24, "--batch-size", 10, "--out", sheet)
    printed = capsys.readouterr().out
    assert [line.partition(",")[0] for line in printed.splitlines()] == [
        "batch 0: 10 images",
        "batch 1: 10 images",
        "batch 2: 5 images",
    ]
    assert Image.open(sheet).size == (8 * 26 + 2, 2 * 26 + 2)


def test_photographs(run):
    assert (run / "report" / "index.html").exists()
    assert len(list((run / "evaluation").glob("*.json"))) == 2
    assert sslfast.Run(run).metrics[-1]["epoch"] == 1


def test_one_percent_labels(run, photographs, capsys):
    settings = ("epochs=1", "val_fraction=0.5")
    run_example("one_percent_labels", run, photographs, *settings, "--labels", "20%", "100%")
    *_, trained, random = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in (trained, random)] == ["pre-trained", "random initialization"]
    assert trained.count("%") == random.count("%") == 2


def test_embed_and_search(run, photographs, tmp_path, capsys):
    query, copy, out = photographs / "red" / "0.png", photographs / "red" / "copy.png", tmp_path / "embeddings.npz"
    run_example("embed_and_search", run, photographs, query, "--k", 3, "--out", out, "--duplicates", 0.99999)
    printed = capsys.readouterr().out
    assert "25 images, each of 64 features" in printed
    nearest = printed.partition(f"like {query}:")[2].splitlines()[1:3]
    assert {tuple(line.split()) for line in nearest} == {("1.000", str(query)), ("1.000", str(copy))}
    assert f"  1.000  {query}  {copy}" in printed.splitlines()
    assert out.exists()


def test_add_a_method(photographs, tmp_path, capsys):
    settings = (*TINY, FP32, "optim.warmup_epochs=0", "data.val_fraction=0.2")
    with patch.dict(METHODS):
        names = run_example("add_a_method", "--data", photographs, "--out", tmp_path / "follow", *settings)
    assert "random initialization" in capsys.readouterr().out
    assert any({"loss", "alignment", "uniformity"} <= line.keys() for line in names["run"].metrics)
