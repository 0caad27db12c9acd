"""README.md's tables are those of the ops and of the recorded measurements."""

import json

from sslfast.benchmarks import readme
from sslfast.kernels import _library as lib


def test_readme_is_up_to_date():
    text = readme.README.read_text()
    assert readme.generate(text) == text, "run `make readme`"
    for name in lib.OPS:
        assert f"| `{name}` | yes |" in text


def row(provider, milliseconds, speedup):
    return {
        "op": "info_nce",
        "case": "1x2x3",
        "pass_name": "both",
        "provider": provider,
        "milliseconds": milliseconds,
        "speedup": speedup,
        "extra_bytes": 2**20,
    }


def record(folder, monkeypatch, header, rows):
    (folder / "box").mkdir()
    (folder / "box" / "ops.json").write_text(json.dumps({"header": header, "results": rows}))
    monkeypatch.setattr(readme, "RESULTS", folder)


def test_figures_set_the_best_of_ours_beside_the_best_other(tmp_path, monkeypatch):
    rows = [row("eager", 8.0, 1.0), row("compiled", 4.0, 2.0), row("slow", 8.5, 0.94), row("quick", 3.2, 2.5)]
    rows += [row("cpp", 2.0, 4.0), row("triton", None, None)]
    record(tmp_path, monkeypatch, {}, [{**row("eager", 1.0, 1.0), "pass_name": "forward"}, *rows])
    cells = [cell.strip() for cell in readme.figures("box").splitlines()[2].split("|")[1:-1]]
    expected = ["`info_nce`", "1x2x3", "8 ms", "2.00x", "2.50x (quick)", "**4.00x**", "1.0 MiB", "1.0 MiB"]
    assert cells == expected


def test_what_no_gpu_has_run_is_said_not_to_have(tmp_path, monkeypatch):
    record(tmp_path, monkeypatch, {}, [row("triton", 1.0, 1.0)])
    assert "| `info_nce` | yes | yes | compiled and interpreted only |" in readme.implementations()
    record_gpu = {"header": {"GPU": "one"}, "results": [row("triton", 1.0, 1.0)]}
    (tmp_path / "box" / "ops.json").write_text(json.dumps(record_gpu))
    assert "| `info_nce` | yes | yes | yes |" in readme.implementations()
