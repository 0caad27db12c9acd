"""Benchmarks of the ops: `sslfast bench`, or with pytest-benchmark `pytest benchmarks/ops/bench_<op>.py`."""

from sslfast.extras import require

require("train", "sslfast.benchmarks")
