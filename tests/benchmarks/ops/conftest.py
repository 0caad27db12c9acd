"""Benchmarks that take no time."""

import pytest

from sslfast.benchmarks.measure import timing


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0.0)
