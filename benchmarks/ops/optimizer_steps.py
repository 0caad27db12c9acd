"""The benchmark of an optimizer's step over a whole network, with the moving average of its weights.

`eager` is what training code has: torch's fused optimizer, with LARS the loop over parameters that implementations
have, and the loop over parameters of the average; `reference` is torch's fused and multi-tensor kernels for both.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sslfast import kernels as K
from sslfast.benchmarks.ops.benchmark import Benchmark, Step, Work
from sslfast.benchmarks.ops.networks import NETWORKS, shapes

MOMENTUM = 0.99


@dataclass(frozen=True)
class OptimizerStepCase:
    """The parameters of a network of torchvision, with bf16 shadow weights or without."""

    network: str
    shadows: bool

    def __str__(self) -> str:
        return self.network + (" + bf16 shadow" if self.shadows else "")


@functools.lru_cache(maxsize=1)
def inputs(case: OptimizerStepCase, device: torch.device) -> dict[str, list[Tensor]]:
    generator = torch.Generator(device).manual_seed(0)
    lists = {
        name: [torch.randn(shape, generator=generator, device=device) for shape in shapes(case.network)]
        for name in ("params", "grads", "first", "second", "targets")
    }
    lists["second"] = [x.square_() for x in lists["second"]]
    lists["steps"] = [torch.ones((), device=device) for _ in lists["params"]]
    lists["shadows"] = [x.bfloat16() for x in lists["params"]] if case.shadows else []
    return lists


class OptimizerStep(Benchmark):
    """The benchmark of one update rule.

    Args:
        rule: "sgd", "lars" or "adamw".
        states: names of the state's lists in `inputs`.
        options: keywords of the op.
    """

    passes = ("update",)

    def __init__(self, rule: str, states: tuple[str, ...], **options: Any) -> None:
        self.op, self.rule, self.states, self.options = f"{rule}_ema_step_", rule, states, options

    def cases(self, device: torch.device) -> list[OptimizerStepCase]:
        return [OptimizerStepCase(n, shadows) for n in NETWORKS for shadows in (False, True)]

    def providers(self, device: torch.device) -> list[str]:
        eager, _, *ours = super().providers(device)
        return [eager, "reference", *ours]

    def work(self, case: OptimizerStepCase, pass_name: str) -> Work:
        """Parameters, states and targets are read and written, gradients read; by LARS twice, for the norms."""
        words = 5 + 2 * len([name for name in self.states if name != "steps"]) + (2 if self.rule == "lars" else 0)
        elements = sum(shape.numel() for shape in shapes(case.network))
        return Work(0, elements * (4 * words + (2 if case.shadows else 0)))

    def step(self, case: OptimizerStepCase, provider: str, pass_name: str, device: torch.device) -> Step:
        lists = inputs(case, device)
        states = [lists[name] for name in self.states]
        step = getattr(K, self.op)
        if provider == "eager":
            return torch.no_grad()(functools.partial(self.loop, step, lists, states))
        return functools.partial(
            step, lists["params"], lists["grads"], *states, targets=lists["targets"], shadows=lists["shadows"],
            ema_momentum=MOMENTUM, impl=provider, **self.options,
        )  # fmt: skip

    def loop(self, step: Any, lists: dict[str, list[Tensor]], states: list[list[Tensor]]) -> None:
        params, grads = lists["params"], lists["grads"]
        if self.rule == "lars":
            for p, g, v in zip(params, grads, *states, strict=True):
                step([p], [g], [v], impl="reference", **self.options)
        else:
            step(params, grads, *states, impl="reference", **self.options)
        for target, p in zip(lists["targets"], params, strict=True):
            target.mul_(MOMENTUM).add_(p, alpha=1 - MOMENTUM)
        for shadow, p in zip(lists["shadows"], params, strict=False):
            shadow.copy_(p)
