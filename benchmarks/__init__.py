"""Benchmarks of the ops: `sslfast bench`, or with pytest-benchmark `pytest benchmarks/bench_<op>.py`."""
