"""README.md's tables are those of the ops and of the recorded measurements, and its Python runs."""

import json
import re

import torch
from torch import nn
from torch.nn import functional as F

from sslfast.benchmarks import readme
from sslfast.kernels.common import op as lib


def test_readme_is_up_to_date():
    text = readme.README.read_text()
    assert readme.generate(text) == text, "run `make readme`"
    for name in lib.OPS:
        assert f"| `{name}` | yes |" in text


def row(provider, milliseconds, speedup, case="1x2x3", pass_name="both", lead=None):
    return {
        "op": "info_nce",
        "case": case,
        "pass_name": pass_name,
        "provider": provider,
        "milliseconds": milliseconds,
        "speedup": speedup,
        "lead": lead,
        "extra_bytes": None if milliseconds is None else 2**20 * int(milliseconds),
    }


def record(folder, monkeypatch, header, rows):
    (folder / "box" / "ops").mkdir(parents=True)
    (folder / "box" / "ops" / "info_nce.json").write_text(json.dumps({"header": header, "results": rows}))
    monkeypatch.setattr(readme, "RESULTS", folder)


def test_figures_are_means_over_the_cases_of_the_last_pass(tmp_path, monkeypatch):
    rows = [
        row("eager", 1.0, 1.0, pass_name="forward"),
        row("auto", 9.0, 0.1, lead=0.1, pass_name="forward"),
        *(row("eager", 8.0, 1.0), row("compiled", 4.0, 2.0), row("cpp", 1.0, 8.0)),
        *(row("auto", 2.0, 4.0, lead=2.0), row("slow", 8.5, 0.9), row("quick", 4.0, 2.0)),
        *(row("eager", 9.0, 1.0, "4"), row("compiled", None, None, "4"), row("auto", 1.0, 9.0, "4", lead=4.5)),
        row("slow", 2.0, 4.5, "4"),
    ]
    record(tmp_path, monkeypatch, {}, rows)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.figures("box").splitlines()]
    others = ["3.00x", "compiled, quick, slow"]
    memory = ["9.0 MiB", "2.0 MiB"]
    assert table[2] == ["`info_nce`", "2", "**6.00x**", "4.00x", "9.00x", *others, *memory]
    assert table[3][:3] == ["all", "", "**6.00x**"]


def test_what_no_gpu_has_run_is_said_not_to_have(tmp_path, monkeypatch):
    record(tmp_path, monkeypatch, {}, [row("triton", 1.0, 1.0)])
    assert "| `info_nce` | yes | yes | compiled and interpreted only |" in readme.implementations()
    record_gpu = {"header": {"GPU": "one"}, "results": [row("triton", 1.0, 1.0)]}
    (tmp_path / "box" / "ops" / "info_nce.json").write_text(json.dumps(record_gpu))
    assert "| `info_nce` | yes | yes | yes |" in readme.implementations()


def test_input_pipelines_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    assert [line.count("not measured yet") for line in readme.views().splitlines()] == [0, 0, 1, 1]
    (tmp_path / "box").mkdir()
    result = {"recipe": "CIFAR, 32", "pipeline": "kornia", "images_per_second": 1234.5, "views": 2, "ratio": 0.516}
    (tmp_path / "box" / "views.json").write_text(json.dumps({"header": {"CPU": "one"}, "results": [result]}))
    assert readme.views().splitlines()[2:] == [
        "| box | 2 of CIFAR, 32 | kornia | 1,234 | 0.52x |",
        "| GPU | not measured yet | | | |",
    ]


def test_methods_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    assert readme.methods().count("not measured yet") == readme.train().count("not measured yet") == 2
    (tmp_path / "box" / "methods").mkdir(parents=True)
    run = {"method": "simclr", "settings": [], "epochs": 9, "seconds": 1.0, "commit": "c"}
    run["random"] = {"knn": 0.2, "linear": 0.3}
    runs = [{**run, "seed": seed, "scores": {"knn": 0.25, "linear": 0.4 + seed / 50}} for seed in (0, 1)]
    content = {"header": {"GPU": "one"}, "shared": {}, "runs": runs}
    (tmp_path / "box" / "methods" / "methods.json").write_text(json.dumps(content))
    assert readme.methods().splitlines()[2:] == [
        "| box | simclr | 2 | 9 | 20.0% | 25.0% ± 0.0 | 30.0% | 41.0% ± 1.4 |",
        "| CPU | not measured yet | | | | | | |",
    ]
    (tmp_path / "box" / "methods").rename(tmp_path / "box" / "published")
    assert readme.published().splitlines()[2:] == [
        "| box | simclr | 9 | 0.0 | 25.0% ± 0.0 | 41.0% ± 1.4 | 87.1% |"
    ]


def test_training_steps_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(readme, "RESULTS", tmp_path)
    (tmp_path / "box").mkdir()

    def row(method, pipeline, rate, overhead, peak):
        numbers = {"images_per_second": rate, "overhead": overhead, "peak_bytes": peak}
        return {"case": "resnet18", "method": method, "pipeline": pipeline, **numbers}

    rows = [
        *(row("a", "sslfast", 3000.0, 0.054, 2**21), row("a", "lightly", 2000.0, None, 2**22)),
        *(row("b", "sslfast", None, None, None), row("c", "sslfast", 10.0, 0.5, None)),
        row("c", "solo-learn", 8.0, None, 2**20),
    ]
    (tmp_path / "box" / "train.json").write_text(json.dumps({"header": {}, "results": rows}))
    assert readme.train().splitlines()[2:] == [
        "| box | resnet18 | a | 3,000 | 1.50x |  | 5% | 2 MiB | 4 MiB |  |",
        "| box | resnet18 | b | out of memory |  |  |  |  |  |  |",
        "| box | resnet18 | c | 10.0 |  | 1.25x | 50% |  |  | 1 MiB |",
        "| GPU | not measured yet | | | | | | | | |",
    ]


def test_the_python_of_readme_runs():
    kernels, optimizers, compat = re.findall(r"```python\n(.*?)```", readme.README.read_text(), flags=re.DOTALL)
    names = {
        name: F.normalize(torch.randn(8, 16), dim=1) for name in ("query", "positive", "keys", "z", "z1", "z2")
    }
    names |= {"queue": torch.randn(32, 16), "pointer": torch.tensor(0), "labels": torch.arange(8) % 3}
    names |= {"scores": torch.randn(8, 5), "features": torch.randn(2, 8, 3, 3), "maps": torch.randn(2, 4, 3, 3)}
    names |= {"images": torch.zeros(2, 9, 9, 3, dtype=torch.uint8), "mean": (0, 0, 0), "std": (1, 1, 1)}
    names |= {"draws": torch.tensor([[0.0, 0, 9, 9] + [0] * 10] * 2)}
    names |= {"key_parameters": [torch.zeros(3)], "query_parameters": [torch.ones(3)]}
    exec(kernels, names)
    assert names["pooled"].shape == (2, 1, 8)
    assert names["pointer"] == 8
    assert names["view"].shape == (2, 3, 224, 224)

    network, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
    network(torch.ones(1, 3)).sum().backward()
    exec(optimizers, {"network": network, "teacher": teacher})
    exec(compat, {})
