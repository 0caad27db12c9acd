"""AdamW and the moving average in one pass, over whole networks; see `optimizer_steps`."""

from sslfast.benchmarks.ops.optimizer_steps import OptimizerStep

BENCHMARK = OptimizerStep("adamw", ("first", "second", "steps"), lr=1e-4, weight_decay=0.1)


def test_adamw_ema_step(benchmark, step):  # type: ignore[no-untyped-def]
    benchmark(step)
