"""The memory of a call."""

import torch

from sslfast.benchmarks.measure import memory
from sslfast.benchmarks.measure.memory import extra_memory

CPU = torch.device("cpu")


def test_memory_is_unknown_where_its_peak_cannot_be_reset(monkeypatch):
    def denied(*args):
        raise PermissionError("read-only file system")

    monkeypatch.setattr(memory.Path, "write_text", denied)
    assert extra_memory(lambda: None, CPU) is None
