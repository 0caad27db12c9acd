"""The kernels with TMA beside the plain ones, in Triton's interpreter."""

import json

import pytest
import torch

from sslfast.benchmarks.ops import bench_info_nce, bench_nearest_neighbor, tma
from sslfast.kernels.common.op import OPS
from tests.kernels import interpreter

pytestmark = [interpreter.QUIET, pytest.mark.skipif(torch.cuda.is_available(), reason="of the interpreter")]
SHAPES = (3, 70, 16), (2, 5, 264)  # the second is wider than they take


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for module in (bench_info_nce, bench_nearest_neighbor):
        case = getattr(module, "InfoNCECase", None) or module.NearestNeighborCase
        cases = [case(*shape, torch.float16) for shape in SHAPES]
        monkeypatch.setattr(type(module.BENCHMARK), "cases", lambda self, device, cases=cases: cases)


def test_both_forms_are_compared_and_timed(tmp_path, capsys):
    assert tma.main(["--json", str(tmp_path / "tma.json")]) == 0
    results = json.loads((tmp_path / "tma.json").read_text())["results"]
    measured = [(result["op"], result["pass_name"]) for result in results]
    assert measured == [("info_nce", "forward"), ("info_nce", "forward+backward"), ("nearest_neighbor", "forward")]
    assert all(result["plain_ms"] > 0 and result["tma_ms"] > 0 for result in results)
    assert "3x70x16 float16" in capsys.readouterr().out


def test_what_differs_is_not_timed(monkeypatch, capsys):
    monkeypatch.setattr(tma, "difference", lambda *results: 0.5)
    monkeypatch.setattr(tma, "take_turns", None)
    assert tma.main([]) == 1
    assert capsys.readouterr().out.count("the results differ: not timed") == 3


@pytest.mark.parametrize(
    ("plain", "other", "expected"),
    [
        ([1.0, -4.0], [1.0, -3.0], 0.25),
        ([1.0, 2.0], [1.0, float("nan")], float("inf")),
        ([5, 6, 7, 8], [5, 6, 7, 9], 0.25),
        ([5, 6], [5, 6], 0),
    ],
)
def test_difference(plain, other, expected):
    assert tma.difference([torch.tensor(plain)], [torch.tensor(other)]) == expected


def test_where_they_cannot_run(monkeypatch, capsys):
    monkeypatch.setattr(type(OPS["info_nce"]), "why_not", lambda self, impl, device: "no such GPU")
    assert tma.main([]) == 2
    assert "info_nce: impl='triton_tma' is not available: no such GPU" in capsys.readouterr().err
