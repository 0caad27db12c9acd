"""LARS and the moving average in one pass, over whole networks; see `optimizer_steps`."""

from sslfast.benchmarks.ops.optimizer_steps import OptimizerStep

BENCHMARK = OptimizerStep("lars", ("first",), lr=1e-3, momentum=0.9, weight_decay=1e-6)


def test_lars_ema_step(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
