"""The tables of README.md and docs/ are those of the ops and of the recorded measurements."""

import json
import re

import pytest

from sslfast.benchmarks.tables import images, learning, ops, pages, records, steps
from sslfast.kernels.common import op as lib

TABLES = {
    "README.md": ["summary"],
    "RESULTS.md": [
        "records",
        "figures cpu-2-cores",
        "host time",
        "views",
        "input",
        "features",
        "train",
        "methods",
        "reproduced",
        "reproduced in full",
        "downstream",
        "published",
    ],
    "kernels.md": ["implementations"],
    "scaling.md": ["exchange", "computed"],
}


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_a_page_is_up_to_date(page):
    text = page.read_text()
    assert re.findall(r"^<!-- (\w.*) -->$", text, flags=re.MULTILINE) == TABLES[page.name]
    assert pages.generate(text) == text, "run `make results`"


def test_every_op_is_in_the_table_of_implementations():
    (page,) = (page for page in pages.PAGES if page.name == "kernels.md")
    text = page.read_text()
    for name in lib.OPS:
        assert f"| `{name}` | yes |" in text


def test_every_machine_with_recorded_ops_has_its_figures():
    (page,) = (page for page in pages.PAGES if page.name == "RESULTS.md")
    text = page.read_text()
    for machine in records.recorded():
        assert f"<!-- figures {machine} -->" in text


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
    monkeypatch.setattr(records, "RESULTS", folder)


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
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in ops.figures("box").splitlines()]
    others = ["3.00x", "compiled, quick, slow"]
    memory = ["9.0 MiB", "2.0 MiB"]
    assert table[2] == ["`info_nce`", "2", "**6.00x**", "4.00x", "9.00x", *others, *memory]
    assert table[3][:3] == ["all", "", "**6.00x**"]


def test_a_case_that_no_other_had_the_memory_for_is_left_out_of_the_lead(tmp_path, monkeypatch):
    rows = [row("eager", 8.0, 1.0), row("auto", 2.0, 4.0, lead=4.0)]
    rows += [row("eager", None, None, "4"), row("compiled", None, None, "4"), row("auto", 1.0, None, "4")]
    record(tmp_path, monkeypatch, {"GPU": "one"}, rows)
    assert ops.summary().splitlines()[2] == "| box | 1 | **4.00x** | 4.00x |"


def test_figures_say_how_many_cases_are_behind_eager_by_more_than_the_noise(tmp_path, monkeypatch):
    speedups = {"1": 0.98, "2": 0.94, "3": 1.5, "4": 0.96}
    rows = [
        row(*fields, case=case, lead=1.0) | {"noise": 0.05 if case == "4" else 0.03}
        for case, speedup in speedups.items()
        for fields in (("eager", 8.0, 1.0), ("cpp", 9.0, 0.9), ("auto", 8.0, speedup))
    ]
    record(tmp_path, monkeypatch, {}, rows)
    for other, noise in (("before", {}), ("without_eager", {"noise": None})):  # made before noise was estimated
        older = [row("auto", 1.0, 2.0, lead=1.0) | noise | {"op": other}]
        (tmp_path / "box" / "ops" / f"{other}.json").write_text(json.dumps({"header": {}, "results": older}))
    head, _, *table = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in ops.figures("box").splitlines()
    )
    columns = slice(head.index("behind eager"), head.index("noise") + 1)
    cells = {line[0]: line[columns] for line in table}
    assert cells == {
        "`info_nce`": ["1", "5.0%"],
        "`before`": ["", ""],
        "`without_eager`": ["", ""],
        "all": ["", ""],
    }
    assert {len(line) for line in table} == {len(head)}


def test_what_no_gpu_has_run_is_said_not_to_have(tmp_path, monkeypatch):
    record(tmp_path, monkeypatch, {}, [row("triton", 1.0, 1.0)])
    assert "| `info_nce` | yes | yes | compiled and interpreted only |" in ops.implementations()
    record_gpu = {"header": {"GPU": "one"}, "results": [row("triton", 1.0, 1.0)]}
    (tmp_path / "box" / "ops" / "info_nce.json").write_text(json.dumps(record_gpu))
    assert "| `info_nce` | yes | yes | yes |" in ops.implementations()


def test_input_pipelines_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    assert [line.count("not measured yet") for line in images.views().splitlines()] == [0, 0, 1, 1]
    (tmp_path / "box").mkdir()
    result = {"recipe": "CIFAR, 32", "pipeline": "kornia", "images_per_second": 1234.5, "views": 2, "ratio": 0.516}
    (tmp_path / "box" / "views.json").write_text(json.dumps({"header": {"CPU": "one"}, "results": [result]}))
    assert images.views().splitlines()[2:] == [
        "| box | 2 of CIFAR, 32 | kornia | 1,234 | 0.52x |",
        "| GPU | not measured yet | | | |",
    ]


def test_features_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    assert images.features().count("not measured yet") == 1
    (tmp_path / "box").mkdir()
    result = {"case": "CIFAR", "precision": "bf16", "ours": 2000.0, "reference": 1000.4, "ratio": 1.999}
    result["processor_ratio"] = 2.1
    result["convolutions"] = {"ours": 0.912, "reference": 0.5}
    (tmp_path / "box" / "features.json").write_text(json.dumps({"header": {"CPU": "one"}, "results": [result]}))
    assert images.features().splitlines()[2:] == [
        "| box | CIFAR | bf16 | 2,000.0 | 1,000.4 | **2.00x** | 2.10x | 91% | 50% |"
    ]


def test_methods_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    assert learning.methods().count("not measured yet") == steps.train().count("not measured yet") == 2
    (tmp_path / "box" / "methods").mkdir(parents=True)
    run = {"method": "simclr", "settings": [], "epochs": 9, "seconds": 1.0, "commit": "c"}
    run["random"] = {"knn": 0.2, "linear": 0.3}
    runs = [{**run, "seed": seed, "scores": {"knn": 0.25, "linear": 0.4 + seed / 50}} for seed in (0, 1)]
    content = {"header": {"GPU": "one"}, "shared": {}, "runs": runs}
    (tmp_path / "box" / "methods" / "methods.json").write_text(json.dumps(content))
    assert learning.methods().splitlines()[2:] == [
        "| box | simclr | 2 | 9 | 0.0 | 20.0% | 25.0% ± 0.0 | 30.0% | 41.0% ± 1.4 |",
        "| CPU | not measured yet | | | | | | | |",
    ]
    (tmp_path / "box" / "methods").rename(tmp_path / "box" / "published")
    assert learning.published().splitlines()[2:] == [
        "| box | simclr | 9 | 0.0 | 25.0% ± 0.0 | 41.0% ± 1.4 | 87.1% |"
    ]


def test_training_steps_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    (tmp_path / "box").mkdir()

    def row(method, pipeline, rate, overhead, peak):
        numbers = {"images_per_second": rate, "overhead": overhead, "peak_bytes": peak}
        return {"case": "resnet18", "method": method, "pipeline": pipeline, **numbers}

    rows = [
        *(row("a", "sslfast", 3000.0, 0.054, 2**21), row("a", "lightly", 2000.0, None, 2**22)),
        *(row("b", "sslfast", None, None, None), row("c", "sslfast", 10.0, 0.5, None)),
        *(row("c", "solo-learn", 8.0, None, 2**20), row("c", "sslfast, fp32", 4.0, None, None)),
    ]
    (tmp_path / "box" / "train.json").write_text(json.dumps({"header": {}, "results": rows}))
    assert steps.train().splitlines()[2:] == [
        "| box | resnet18 | a | 3,000 |  | 1.50x |  | 5% | 2 MiB | 4 MiB |  |",
        "| box | resnet18 | b | out of memory |  |  |  |  |  |  |  |",
        "| box | resnet18 | c | 10.0 | 2.50x |  | 1.25x | 50% |  |  | 1 MiB |",
        "| GPU | not measured yet | | | | | | | | | |",
    ]


def test_several_ranks_by_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    assert steps.exchange().count("not measured yet") == 1
    (tmp_path / "box").mkdir()
    ours = {"gradients": 2048, "all_gather": 512, "reduce_scatter": 1024, "all_reduce": 256}
    result = {"method": "simclr", "ranks": 4, "milliseconds": {"ours": 50.0, "plain": 60.04}, "ratio": 1.197}
    result["handed"] = {"ours": ours, "plain": {**ours, "buffers": 3072}}
    (tmp_path / "box" / "exchange.json").write_text(json.dumps({"header": {}, "results": [result]}))
    assert steps.exchange().splitlines()[2:] == [
        "| box | 4 | simclr | 50.0 | 60.0 | 1.20x | 2.0 | 1.5 | 0.2 | 0.0 | 3.0 |"
    ]


def test_the_summary_is_of_means_over_the_ops(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    assert [line.count("not measured yet") for line in ops.summary().splitlines()] == [0, 0, 1, 1]
    rows = [row("eager", 8.0, 1.0), row("compiled", 4.0, 2.0), row("auto", 2.0, 4.0, lead=2.0)]
    record(tmp_path, monkeypatch, {"CPU": "one"}, rows)
    other = [{**r, "op": "nt_xent"} for r in (row("eager", 9.0, 1.0), row("auto", 1.0, 9.0, lead=8.0))]
    (tmp_path / "box" / "ops" / "nt_xent.json").write_text(json.dumps({"header": {}, "results": other}))
    assert ops.summary().splitlines()[2:] == [
        "| box | 2 | **6.00x** | 4.00x |",
        "| GPU | not measured yet | | |",
    ]


def test_the_records_are_dated(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    (tmp_path / "box" / "ops").mkdir(parents=True)
    shared = {"CPU": "one, 2 threads", "versions": "torch 2"}
    for path, date in (
        ("ops/a", "2026-01-02T03:04"),
        ("ops/b", "2026-01-05T00:00"),
        ("train", "2026-01-03T00:00"),
    ):
        content = {"header": {**shared, "date": date}, "results": []}
        if path == "train":
            content["continued"] = {**shared, "CPU": "another", "date": "2026-01-04T00:00"}
        (tmp_path / "box" / f"{path}.json").write_text(json.dumps(content))
    assert records.headers().splitlines()[2:] == [
        "| box | ops | 2026-01-02 to 2026-01-05 | one, 2 threads | torch 2 |",
        "| box | train | 2026-01-03 to 2026-01-04 | one, 2 threads, another | torch 2 |",
    ]
