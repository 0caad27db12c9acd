"""A step of a problem by one implementation, and tensors compared by their bits."""

import torch

from sslfast import kernels as K
from tests.kernels.optimizer_rules import OPTIONS

NARROW = [torch.float32, torch.float16, torch.bfloat16]


def run(problem, grads, impl, **options):
    step = getattr(K, f"{problem.rule}_ema_step_")
    step(
        problem.params,
        grads,
        *problem.states,
        targets=problem.targets,
        shadows=problem.shadows,
        impl=impl,
        **OPTIONS[problem.rule] | options,
    )


def bits(tensors):
    return [x.detach().contiguous().view(-1).view(torch.uint8).clone() for x in tensors]


def assert_same_bits(tensors, expected):
    assert all(torch.equal(a, b) for a, b in zip(bits(tensors), expected, strict=True))
