"""Small calls of `impl="cuda"`, a function for each file of csrc/cuda/, through every loop around a barrier."""

import torch
from torch import Tensor

from sslfast import kernels as K
from tests.kernels.ema import randn
from tests.kernels.optimizer_rules import OPTIONS, RULES, Problem

NARROW = (torch.float32, torch.float16, torch.bfloat16)


def sinkhorn_knopp() -> list[Tensor]:
    """Takes more tiles of columns than blocks, one by one and by four; powers that fit and that do not."""
    scores = [randn(9, columns, dtype=dtype) for dtype in NARROW for columns in (110, 112)]
    return [K.sinkhorn_knopp(x, epsilon=epsilon, impl="cuda") for x in scores for epsilon in (0.2, 0.05)]


def ema_update() -> list[Tensor]:
    targets = [randn(n, dtype=dtype) for n in (3, 9000) for dtype in NARROW]
    K.ema_update_(targets, [randn(t.numel(), seed=1) for t in targets], 0.7, impl="cuda")
    return targets


def fused_optimizer() -> list[Tensor]:
    """Takes norms of one chunk and of several."""
    tensors = []
    for rule in RULES:
        problem = Problem(rule, [(5,), (33_000,)])
        step = getattr(K, f"{rule}_ema_step_")
        followers = {"targets": problem.targets, "shadows": problem.shadows, "ema_momentum": 0.7}
        step(problem.params, problem.grads(0), *problem.states, **followers, impl="cuda", **OPTIONS[rule])
        tensors += problem.everything()
    return tensors


CALLS = {"sinkhorn_knopp": sinkhorn_knopp, "ema_update": ema_update, "fused_optimizer": fused_optimizer}
