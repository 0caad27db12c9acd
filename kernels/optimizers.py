"""Optimizers that move a network's moving average, and a copy in lower precision, along with its parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from sslfast.kernels.common.op import Impl
from sslfast.kernels.ema_update import ema_update_
from sslfast.kernels.fused_optimizer import adamw_ema_step_, lars_ema_step_, sgd_ema_step_
from sslfast.kernels.fused_optimizer.reference import skipping


class Bucket(NamedTuple):
    """Parameters of a group that one call updates, with what belongs to them."""

    params: list[Tensor]
    grads: list[Tensor]
    targets: list[Tensor]
    shadows: list[Tensor]


class FusedOptimizer(Optimizer, ABC):
    """What the optimizers here share: a step that is one pass over the parameters and all that follows them.

        optimizer = FusedLARS(student.parameters(), lr=0.2, weight_decay=1e-6)
        optimizer.add_ema(teacher.parameters(), student.parameters())
        ...
        optimizer.step(ema_momentum=0.99)

    They compute what torch's optimizers do, followed by `ema_update_`, and are torch optimizers themselves: with
    parameter groups, learning-rate schedulers and hooks, and with state dicts that torch's own of the same name
    can load, and the other way round. What follows the parameters is no part of the state dict: it belongs to a
    module that is saved with its own.

    Nothing waits for the device. A CUDA graph can replay a step: make `lr` and `ema_momentum` tensors on the GPU
    to change them between replays. Where the attribute `found_inf`, a 0-d fp32 tensor, is 1, a step changes
    nothing, as with torch's fused optimizers. A GradScaler unscales the gradients before the step, as for any
    optimizer that does not do it itself.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], impl: Impl) -> None:
        super().__init__(params, defaults)
        self.impl = impl
        self._targets: dict[Tensor, Tensor] = {}  # by what they follow
        self._shadows: dict[Tensor, Tensor] = {}

    def add_ema(self, targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
        """From now on, each step moves targets towards sources, by the momentum that it is given.

        Where a source is a parameter of this optimizer that has a gradient, in the same pass; else (a frozen or
        unused parameter, a buffer) by `ema_update_`, after it.

        Args:
            targets: tensors as `ema_update_` takes them.
            sources: as many.

        Raises:
            ValueError: lists of different lengths, or a source that has a target already.
        """
        targets, sources = list(targets), list(sources)
        _check_new("add_ema", self._targets, targets, sources)
        self._targets.update(zip(sources, targets, strict=True))

    def add_shadows(self, shadows: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
        """From now on, each step copies sources into shadows: bf16 weights for the forward pass, from fp32 ones.

        They are filled at once. Arguments and errors are as for `add_ema`.
        """
        shadows, sources = list(shadows), list(sources)
        _check_new("add_shadows", self._shadows, shadows, sources)
        ema_update_(shadows, sources, 0.0)
        self._shadows.update(zip(sources, shadows, strict=True))

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None, *, ema_momentum: float | Tensor | None = None
    ) -> float | None:
        """One update.

        Args:
            closure: computes the loss and its gradients again, as torch's optimizers take it.
            ema_momentum: of what `add_ema` added, in [0, 1]; a float, or a 0-d fp32 or fp64 tensor.

        Returns:
            The closure's loss, if there is one.

        Raises:
            ValueError: `add_ema` was called and the momentum is missing.
        """
        if ema_momentum is None:
            if self._targets:
                raise ValueError("step: expected an ema_momentum for what add_ema added, got None")
            ema_momentum = 1.0
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        found_inf: Tensor | None = getattr(self, "found_inf", None)
        moved: set[Tensor] = set()
        for group in self.param_groups:
            for bucket in self._buckets(group):
                here = found_inf if found_inf is None else found_inf.to(bucket.params[0].device)
                followers = {"targets": bucket.targets, "shadows": bucket.shadows}
                self._update(bucket, group, **followers, ema_momentum=ema_momentum, found_inf=here, impl=self.impl)
                moved.update(bucket.params)
        for followers_of, momentum in ((self._targets, ema_momentum), (self._shadows, 0.0)):
            rest = [source for source in followers_of if source not in moved]
            if found_inf is not None and rest:
                momentum = skipping(momentum, found_inf)
            ema_update_([followers_of[source] for source in rest], rest, momentum)
        return loss

    def _buckets(self, group: dict[str, Any]) -> Iterator[Bucket]:
        buckets: dict[Any, Bucket] = {}
        for p in group["params"]:
            if p.grad is None:
                continue
            target, shadow = self._targets.get(p), self._shadows.get(p)
            key = p.device, p.dtype, target is None, shadow is None
            bucket = buckets.setdefault(key, Bucket([], [], [], []))
            bucket.params.append(p)
            bucket.grads.append(p.grad)
            if target is not None:
                bucket.targets.append(target)
            if shadow is not None:
                bucket.shadows.append(shadow)
        yield from buckets.values()

    @abstractmethod
    def _update(self, bucket: Bucket, group: dict[str, Any], **following: Any) -> None:
        """Updates a bucket's parameters, and what follows them."""

    def _zero_state(self, params: list[Tensor], name: str) -> list[Tensor]:
        """The parameters' states of that name: zero at first, so that a first step may be skipped too."""
        states = [self.state[p] for p in params]
        for state, p in zip(states, params, strict=True):
            if state.get(name) is None:
                state[name] = torch.zeros_like(p)
        return [state[name] for state in states]

    def __getstate__(self) -> dict[str, Any]:
        own = {"impl": self.impl, "_targets": self._targets, "_shadows": self._shadows}
        return {**super().__getstate__(), **own}


def _check_new(name: str, known: dict[Tensor, Tensor], followers: list[Tensor], sources: list[Tensor]) -> None:
    if len(followers) != len(sources):
        raise ValueError(f"{name}: expected as many tensors as the {len(sources)} sources, got {len(followers)}")
    seen = set(known)
    for i, source in enumerate(sources):
        if source in seen:
            raise ValueError(f"{name}: sources[{i}] has one that follows it already")
        seen.add(source)


class FusedSGD(FusedOptimizer):
    """torch.optim.SGD, fused with what follows the parameters: see `FusedOptimizer` and `sgd_ema_step_`.

    Args:
        params: parameters or groups of them.
        lr: learning rate; a float or a 0-d tensor.
        momentum: decay of the momentum.
        weight_decay: an L2 penalty.
        nesterov: whether momentum is Nesterov's.
        impl: of the step: "auto", "reference", "cpp" (CPU) or "cuda".
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        impl: Impl = "auto",
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {**options, "dampening": 0.0}, impl)  # torch's SGD looks for it in a state dict

    def _update(self, bucket: Bucket, group: dict[str, Any], **following: Any) -> None:
        momenta = self._zero_state(bucket.params, "momentum_buffer") if group["momentum"] else []
        options = {name: group[name] for name in ("lr", "momentum", "weight_decay", "nesterov")}
        sgd_ema_step_(bucket.params, bucket.grads, momenta, **options, **following)


class FusedLARS(FusedOptimizer):
    """LARS, fused with what follows the parameters: see `FusedOptimizer` and `lars_ema_step_`.

    A group with `adapt=False` (biases, the scales and shifts of normalisation layers) takes plain SGD steps.

    Args:
        params: parameters or groups of them; a group may set any of the options and `adapt` (default True).
        lr: learning rate; a float or a 0-d tensor.
        momentum: decay of the momentum.
        weight_decay: an L2 penalty.
        trust_coefficient: eta in the paper.
        impl: of the step: "auto", "reference", "cpp" (CPU) or "cuda".
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        impl: Impl = "auto",
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, {**options, "trust_coefficient": trust_coefficient, "adapt": True}, impl)

    def _update(self, bucket: Bucket, group: dict[str, Any], **following: Any) -> None:
        momenta = self._zero_state(bucket.params, "momentum_buffer") if group["momentum"] else []
        options = {name: group[name] for name in ("lr", "momentum", "weight_decay")}
        if group["adapt"]:
            options["trust_coefficient"] = group["trust_coefficient"]
            lars_ema_step_(bucket.params, bucket.grads, momenta, **options, **following)
        else:
            sgd_ema_step_(bucket.params, bucket.grads, momenta, **options, **following)


class FusedAdamW(FusedOptimizer):
    """torch.optim.AdamW, fused with what follows the parameters: see `FusedOptimizer` and `adamw_ema_step_`.

    Args:
        params: parameters or groups of them.
        lr: learning rate; a float or a 0-d tensor.
        betas: decays of the averages of the gradient and of its square.
        eps: added to the denominator.
        weight_decay: decoupled from the gradient.
        impl: of the step: "auto", "reference", "cpp" (CPU) or "cuda".
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        impl: Impl = "auto",
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        # As torch's own fused AdamW: then load_state_dict puts the counts of steps beside the parameters.
        super().__init__(params, {**options, "fused": True}, impl)

    def _update(self, bucket: Bucket, group: dict[str, Any], **following: Any) -> None:
        exp_avgs, exp_avg_sqs = (self._zero_state(bucket.params, name) for name in ("exp_avg", "exp_avg_sq"))
        for p in bucket.params:
            if "step" not in self.state[p]:
                self.state[p]["step"] = torch.zeros((), device=p.device)
        steps = [self.state[p]["step"] for p in bucket.params]
        options = {name: group[name] for name in ("lr", "betas", "eps", "weight_decay")}
        adamw_ema_step_(bucket.params, bucket.grads, exp_avgs, exp_avg_sqs, steps, **options, **following)
