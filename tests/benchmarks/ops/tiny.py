"""A small benchmark, for the tests of what is reported of one."""

import torch

from sslfast.benchmarks.ops.benchmark import Benchmark


class Tiny(Benchmark):
    op = "info_nce"
    passes = ("forward",)

    def cases(self, device):
        return [3, 5]

    def providers(self, device):
        return ["eager", "ours"]

    def step(self, case, provider, pass_name, device):
        return lambda: torch.ones(case).sum()
