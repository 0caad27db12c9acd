"""Input pipelines that are timed for one batch."""

import dataclasses

import pytest

from sslfast.benchmarks.views import bench, pipelines


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(pipelines, "WARM_UP", 1)
    monkeypatch.setattr(bench, "DRAWN", 2)
    cases = bench.cases

    def small(source):
        return [
            dataclasses.replace(case, data=dataclasses.replace(case.data, batch_size=4)) for case in cases(source)
        ]

    monkeypatch.setattr(bench, "cases", small)
