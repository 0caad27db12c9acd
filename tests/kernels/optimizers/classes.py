"""The optimizer classes, torch's own beside them, and a small network that they train."""

import torch
from torch import nn

from sslfast.kernels.optimizers import FusedAdamW, FusedLARS, FusedSGD
from tests.kernels.optimizer_rules import LARS

OURS = {
    "sgd": lambda p, **more: FusedSGD(p, 0.1, **{"momentum": 0.9, "weight_decay": 0.05} | more),
    "lars": lambda p, **more: FusedLARS(p, 0.1, trust_coefficient=0.02, **{"weight_decay": 0.05} | more),
    "adamw": lambda p, **more: FusedAdamW(p, 0.1, **{"weight_decay": 0.05} | more),
}
THEIRS = {
    "sgd": lambda p, **more: torch.optim.SGD(p, 0.1, **{"momentum": 0.9, "weight_decay": 0.05} | more, fused=True),
    "lars": lambda p, **more: LARS(p, 0.1, trust_coefficient=0.02, **{"weight_decay": 0.05} | more),
    "adamw": lambda p, **more: torch.optim.AdamW(p, 0.1, **{"weight_decay": 0.05} | more, fused=True),
}
MOMENTUM = 0.8


def network(seed=0):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 50), nn.Linear(50, 2)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def set_gradients(module, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = torch.empty_like(parameter).normal_(generator=generator)


def groups(module):
    wide, narrow = ([p for p in module.parameters() if (p.ndim > 1) == is_wide] for is_wide in (True, False))
    return [{"params": wide}, {"params": narrow, "weight_decay": 0.0, "adapt": False}]


def assert_same(a, b, **tolerance):
    torch.testing.assert_close(a.state_dict(), b.state_dict(), **tolerance)


def held_and_given(name, steps):
    """Makes students and teachers whose optimizers hold their momenta, and ones whose steps are given them."""
    pairs = [(network(), network(1)) for _ in range(2)]
    held, given = (OURS[name](student.parameters()) for student, _ in pairs)
    for optimizer, (student, teacher) in zip((held, given), pairs, strict=True):
        optimizer.add_ema(teacher.parameters(), student.parameters())
    for step, momentum in enumerate(steps):
        for student, _ in pairs:
            set_gradients(student, step)
        yield held, momentum
        given.step(ema_momentum=momentum)
    for one, other in zip(*pairs, strict=True):
        assert_same(one, other, rtol=0, atol=0)
