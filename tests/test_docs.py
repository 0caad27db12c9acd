"""What the pages say is true: their links lead somewhere, their commands parse, and their Python runs."""

import ast
import importlib
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from unittest.mock import patch

import pytest
import torch
import yaml
from PIL import Image
from torch import distributed as dist
from torch import nn
from torch.nn import functional as F

import sslfast
from sslfast.cli import main, parse
from sslfast.config.settings import apply_overrides
from sslfast.config.validation import validate
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.kernels.common.op import OPS
from sslfast.methods import METHODS
from sslfast.recipes.files import ablations
from sslfast.recipes.load import load_recipe
from sslfast.sweep.commands import commands
from sslfast.sweep.grid import cells, read_sweep
from tests import layers

ROOT = Path(__file__).resolve().parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*DOCS, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
CHANGELOG = ROOT / "CHANGELOG.md"  # it names what was, too
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a page; its language is empty where the fence names none."""

    page: str
    language: str
    text: str


BLOCKS = [Block(page.name, *found) for page in DOCS for found in FENCED.findall(page.read_text())]
PYTHON = [block for block in BLOCKS if block.language == "python"]
CONSOLE = [block for block in BLOCKS if block.language == "console"]
COMMANDS = [
    line.partition("#")[0].strip() for block in BLOCKS if not block.language for line in block.text.splitlines()
]
IN_TABLES = re.compile(r"`(sslfast (?:sweep|evaluate) [^`]+)`")
COMMANDS += [" ".join(found.split()) for found in IN_TABLES.findall((ROOT / "docs" / "sources.md").read_text())]


def of(program):
    """Lists the arguments of each command of a program, without the program's name."""
    return sorted({line.removeprefix(program) for line in COMMANDS if line.startswith(program)})


@pytest.mark.parametrize("page", [*PAGES, CHANGELOG], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if link.startswith(("https://", "http://")):
            continue
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: no {link}"
        if heading:
            assert heading in headings(target), f"{page.name}: no heading {link}"


def headings(page):
    """Lists the names by which links reach a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_exist(page):
    """`<op>` and its like stand for any name; what a run leaves is not in the tree."""
    folders = "sslfast|kernels|csrc|benchmarks|tests|docs|examples"
    for path in re.findall(rf"`((?:{folders})/[\w/.<>*-]*)`", page.read_text()):
        pattern = re.sub(r"<\w+>", "*", path)
        assert any(ROOT.glob(pattern)), f"{page.name}: no {path}"


def test_readme_fits_two_screens():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 100
    assert max(map(len, lines)) <= 115


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_commands_can_be_typed_in_zsh(page):
    """There brackets and signs for any name are patterns unless they are quoted, and # begins no comment."""
    for block in BLOCKS:
        if block.page == page.name and not block.language:
            bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", block.text)
            assert not re.findall(r".*[][*?#].*", bare), page.name


@pytest.mark.parametrize("command", of("sslfast ") + of("torchrun --nproc-per-node 2 -m sslfast "))
def test_commands_parse(command):
    argv = shlex.split(command)
    if "--help" in argv:
        with pytest.raises(SystemExit) as exit:
            parse(argv)
        assert not exit.value.code
        return
    args = parse(argv)
    if argv[0] == "pretrain" and args.resume:
        assert args.recipe.startswith("runs/")
    elif argv[0] in ("pretrain", "views"):
        load_recipe(args.recipe, args.overrides, data=args.data)
    elif argv[0] == "evaluate":
        config = PROTOCOLS[args.protocol].config
        validate(config, apply_overrides(config, {}, args.overrides), origin=command)
    elif argv[0] == "sweep":
        sweep = read_sweep(args.sweep, args.overrides, seeds=args.seeds, evaluate=args.evaluate)
        for cell in cells(sweep):
            commands(cell, Path("runs/none"), args.data or [], args.val or [], sweep.evaluate)
    elif argv[0] == "bench":
        assert args.op in OPS


def test_every_ablation_of_the_package_is_in_the_sources_tables():
    swept = {line.split()[2] for line in COMMANDS if line.startswith("sslfast sweep ")}
    assert set(ablations()) <= swept


def test_targets_of_make_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    pages = "\n".join(page.read_text() for page in PAGES)
    assert {line.split()[0] for line in of("make ")} | set(re.findall(r"`make ([\w-]+)", pages)) <= targets


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.page)
def test_a_console_shows_what_a_person_sees(block, capsys):
    command, *output = block.text.splitlines()
    assert command.startswith("$ sslfast ")
    main(shlex.split(command)[2:])
    assert capsys.readouterr().err.splitlines() == output


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.page)
def test_python_imports_what_exists(block):
    names = {}
    tree = ast.parse(block.text)
    compile(tree, block.page, "exec")
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, type_ignores=[]), block.page, "exec"), names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            assert hasattr(names[node.value.id], node.attr), f"{block.page}: no {ast.unparse(node)}"


def operands():
    """Returns what the pages' examples of ops call their inputs."""
    torch.manual_seed(0)
    names = {name: F.normalize(torch.randn(8, 16), dim=1) for name in ("positive", "keys", "z", "z1", "z2")}
    names |= {"query": F.normalize(torch.randn(8, 16), dim=1).requires_grad_()}
    names |= {"queue": torch.randn(32, 16), "pointer": torch.tensor(0), "labels": torch.arange(8) % 3}
    names |= {"scores": torch.randn(8, 5), "features": torch.randn(2, 8, 3, 3), "maps": torch.randn(2, 4, 3, 3)}
    names |= {"images": torch.zeros(2, 9, 9, 3, dtype=torch.uint8), "mean": (0, 0, 0), "std": (1, 1, 1)}
    names |= {"draws": torch.tensor([[0.0, 0, 9, 9] + [0] * 10] * 2)}
    return names | {"key_parameters": [torch.zeros(3)], "query_parameters": [torch.ones(3)]}


def test_the_kernels_of_the_pages_run():
    page = [block.text for block in PYTHON if block.page == "kernels.md"]
    ops, optimizers, modules = page
    names = operands()
    exec(ops, names)
    assert names["pooled"].shape == (2, 1, 8)
    assert names["pointer"] == 8
    assert names["view"].shape == (2, 3, 224, 224)

    network, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
    network(torch.ones(1, 3)).sum().backward()
    exec(optimizers, {"network": network, "teacher": teacher})
    exec(modules, {})


def test_the_examples_of_the_drop_in_page_run(monkeypatch):
    compat, patch, chunks, parts, loop = (block.text for block in PYTHON if block.page == "drop-in.md")
    exec(compat, {})
    losses = ModuleType("lightly.loss")  # stands in for the package
    losses.NTXentLoss = type("NTXentLoss", (), {"__module__": "lightly.loss"})
    monkeypatch.setitem(sys.modules, "lightly.loss", losses)
    monkeypatch.setitem(sys.modules, "lightly", ModuleType("lightly"))
    exec(patch, names := {})
    assert names["swapped"] == ["lightly.loss.NTXentLoss"]

    encoder = nn.Linear(3, 2)
    names = {"encoder": encoder, "optimizer": torch.optim.SGD(encoder.parameters(), lr=0.1)}
    exec(chunks, names | {"view1": torch.randn(5, 3), "view2": torch.randn(5, 3)})
    assert encoder.weight.grad.any()

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        exec(parts, names := operands())
    finally:
        dist.destroy_process_group()
    assert names["query"].grad.any()
    assert names["pointer"] == 8

    names = {"dataset": [(torch.zeros(3, 40, 50, dtype=torch.uint8), 0)] * 6}
    exec(loop, names)
    assert names["view2"].shape == (2, 3, 32, 32)


def test_the_kernels_of_the_readme_run():
    block, *_ = (block.text for block in PYTHON if block.page == "README.md")
    names = operands()
    exec(block, names)
    assert names["query"].grad.abs().sum() > 0
    assert names["loss"].shape == ()
    assert names["pointer"] == 8
    torch.testing.assert_close(names["key_parameters"], [torch.full((3,), 0.001)])


def test_the_page_about_python_runs(tmp_path, monkeypatch):
    """One block after the other, beside a folder of images of two classes."""
    for i in range(48):
        path = tmp_path / "photographs" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (5 * i, 100 * (i % 2), 0)).save(path)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}  # the module of its classes
    with patch.dict(METHODS):
        for block in PYTHON:
            if block.page == "python.md":
                exec(block.text, names)
    assert names["page"].exists()
    assert len(names["losses"]) == 2
    assert names["encoder"].feature_dim == 384


def test_architecture_shows_the_imports():
    text = layers.PAGE.read_text()
    assert layers.with_layers(text) == text, "run `make architecture`"
    assert f"```mermaid\n{layers.drawing()}\n```" in text


def test_the_drawing_leads_wherever_an_import_does():
    drawn = {}
    for a, b in re.findall(r"^  (\w+) --> (\w+)$", layers.drawing(), flags=re.MULTILINE):
        drawn.setdefault(a, set()).add(b)

    def reached(name):
        return drawn.get(name, set()).union(*map(reached, drawn.get(name, ())))

    direct = layers.arrows()
    for name, targets in direct.items():
        assert drawn.get(name, set()) <= targets <= reached(name)


def test_training_md_counts_the_methods():
    assert f"\n{len(METHODS)} methods" in (ROOT / "docs" / "training.md").read_text()
    assert f"{len(METHODS)} methods" in (ROOT / "README.md").read_text()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == sslfast.__version__
    assert {"message", "title", "type", "license", "authors"} <= citation.keys()


# What other people's code imports: a name here stays, and is the same thing.
PUBLIC = {
    "sslfast": """
        Run __version__ embed evaluate kernels list_methods load_encoder nn patch pretrain register_method
        transforms unpatch
    """,
    "sslfast.transforms": "Views",
    "sslfast.kernels": """
        adamw_ema_step_ aligned_pooling available_impls cross_correlation_loss debug ema_update_ enqueue_
        in_batch_info_nce info_nce lars_ema_step_ nearest_neighbor nt_xent sgd_ema_step_ sinkhorn_knopp
        soft_cross_entropy sup_con view_augment
    """,
    "sslfast.kernels.optimizers": "FusedAdamW FusedLARS FusedOptimizer FusedSGD",
    "sslfast.nn": """
        AlignedPooling BarlowTwinsLoss CLIPLoss InBatchInfoNCELoss InfoNCELoss NTXentLoss NegativeCosineSimilarity
        SupConLoss SwAVLoss cached_backward
    """,
    "sslfast.nn.compat.lightly": """
        BarlowTwinsLoss DCLLoss DCLWLoss DINOLoss DirectCLRLoss IBOTPatchLoss KoLeoLoss MACLLoss MMCRLoss MSNLoss
        MemoryBankModule NTXentLoss NegativeCosineSimilarity PMSNCustomLoss PMSNLoss SwaVLoss TiCoLoss VICRegLoss
    """,
    "sslfast.nn.compat.pytorch_metric_learning": "NTXentLoss SupConLoss",
    "sslfast.distributed": """
        all_to_all average_ broadcast_ gather gather_uneven largest mean rank shuffle unshuffle world world_size
    """,
    "sslfast.views": """
        Key context_pair divide drop_colors flip_patches from_rgb jigsaw_cells normalize_patches patch_grid
        permutation_set permuted project_colors random_order rotations shift_patches split_lab split_ydbdr
        surrogate to_rgb
    """,
    "sslfast.config": "DataConfig EncoderConfig OptimConfig Recipe TrainConfig ViewConfig",
    "sslfast.recipes.load": "from_dict load_recipe recipes to_dict to_yaml",
    "sslfast.data": "Batch Loader Source eval_batches load_small make_loader open_source split",
    "sslfast.encoders": "Encoder build_encoder",
    "sslfast.methods": "METHODS Method",
    "sslfast.train": "",
    "sslfast.errors": "TrainingError UsageError",
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_can_be_imported(module):
    found = importlib.import_module(module)
    missing = [name for name in PUBLIC[module].split() if not hasattr(found, name)]
    assert not missing
