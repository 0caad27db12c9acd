"""The optimizers' rules on one tensor, and a small network's worth of tensors to try them on."""

import torch
from torch import Tensor

SHAPES = [(64, 3, 3, 3), (64,), (), (1,), (0, 3), (17, 129), (40_001,)]
# Options of the steps, by the name of the op without "_ema_step_".
OPTIONS = {
    "sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05},
    "lars": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05, "trust_coefficient": 0.02},
    "adamw": {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1},
}


def sgd(w: Tensor, g: Tensor, v: Tensor, *, lr, momentum, weight_decay, nesterov=False) -> None:
    d = g + weight_decay * w
    v.copy_(momentum * v + d)
    w.sub_(lr * (d + momentum * v if nesterov else v))


def lars(w: Tensor, g: Tensor, v: Tensor, *, lr, momentum, weight_decay, trust_coefficient) -> None:
    d = g + weight_decay * w
    if w.norm() > 0 and d.norm() > 0:
        d *= trust_coefficient * w.norm() / d.norm()
    sgd(w, d, v, lr=lr, momentum=momentum, weight_decay=0.0)


def adamw(w: Tensor, g: Tensor, m: Tensor, s: Tensor, n: Tensor, *, lr, betas, eps, weight_decay) -> None:
    n += 1
    m.copy_(betas[0] * m + (1 - betas[0]) * g)
    s.copy_(betas[1] * s + (1 - betas[1]) * g**2)
    denominator = (s / (1 - betas[1] ** n)).sqrt() + eps
    w.copy_((1 - lr * weight_decay) * w - lr * m / (1 - betas[0] ** n) / denominator)


RULES = {"sgd": sgd, "lars": lars, "adamw": adamw}


class LARS(torch.optim.Optimizer):
    """The rule of LARS as a plain torch optimizer: parameter by parameter, on the host, without a step to skip."""

    def __init__(self, params, lr, *, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3) -> None:
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, {**options, "trust_coefficient": trust_coefficient, "adapt": True})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            options = {name: group[name] for name in ("lr", "momentum", "weight_decay")}
            if group["adapt"]:
                options["trust_coefficient"] = group["trust_coefficient"]
            for p in group["params"]:
                if p.grad is not None:
                    v = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                    (lars if group["adapt"] else sgd)(p, p.grad, v, **options)


def randn(shape, seed, dtype=torch.float32, device="cpu") -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(device, dtype)


class Problem:
    """Parameters, their states and what follows them; as they are, and in fp64 as they should become."""

    def __init__(
        self,
        rule,
        shapes=SHAPES,
        *,
        dtype=torch.float32,
        target=torch.float32,
        shadow=torch.bfloat16,
        device="cpu",
    ):
        def draw(seed, dtype):
            return [randn(shape, 100 * seed + i, dtype, device) for i, shape in enumerate(shapes)]

        self.rule, self.device = rule, device
        self.params = draw(1, dtype)
        self.states = [[torch.zeros_like(p) for p in self.params] for _ in range(2 if rule == "adamw" else 1)]
        if rule == "adamw":
            self.states.append([torch.zeros((), device=device) for _ in shapes])
        self.targets = [] if target is None else draw(2, target)
        self.shadows = [] if shadow is None else draw(3, shadow)
        self.truth = [
            [x.to(torch.float64, copy=True) for x in xs] for xs in (self.params, *self.states, self.targets)
        ]

    def grads(self, step, dtype=torch.float32):
        return [randn(p.shape, 1000 * step + i, dtype, self.device) for i, p in enumerate(self.params)]

    def everything(self):
        return [x for xs in (self.params, *self.states, self.targets, self.shadows) for x in xs]

    def step_truth(self, grads, ema_momentum, **options):
        """Takes the same step in fp64, by the rule above."""
        params, *states, targets = self.truth
        for i, (w, g) in enumerate(zip(params, grads, strict=True)):
            RULES[self.rule](w, g.double(), *(state[i] for state in states), **options)
        for k, w in zip(targets, params, strict=False):
            k.copy_(ema_momentum * k + (1 - ema_momentum) * w)

    def check(self, rtol=2e-5, atol=2e-6):
        params, *states, targets = self.truth
        got = [self.params, *self.states]
        for xs, truth in zip(got, [params, *states], strict=True):
            for x, expected in zip(xs, truth, strict=True):
                torch.testing.assert_close(x.double(), expected, rtol=rtol, atol=atol)
        for xs, truth in ((self.targets, targets), (self.shadows, params)):
            for x, expected in zip(xs, truth, strict=False):
                eps = torch.finfo(x.dtype).eps
                torch.testing.assert_close(x.double(), expected, rtol=max(rtol, 4 * eps), atol=max(atol, 4 * eps))
