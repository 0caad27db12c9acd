"""What the fused optimizers share: parameter groups and their checks, and what follows the parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from sslfast.kernels.common.op import Impl, check_impl
from sslfast.kernels.ema_update import ema_update_
from sslfast.kernels.fused_optimizer.checks import check_options
from sslfast.kernels.fused_optimizer.op import SGD
from sslfast.kernels.fused_optimizer.reference import skipping


class Bucket(NamedTuple):
    """Parameters of a group that one call updates, with what belongs to them."""

    params: list[Tensor]
    grads: list[Tensor]
    targets: list[Tensor]
    shadows: list[Tensor]


class FusedOptimizer(Optimizer, ABC):
    """An optimizer whose step is one pass over the parameters and all that follows them.

        optimizer = FusedLARS(student.parameters(), lr=0.2, weight_decay=1e-6)
        optimizer.add_ema(teacher.parameters(), student.parameters(), momentum=0.99)
        ...
        optimizer.step()
        optimizer.ema_momentum = 0.996  # of the steps to come; or, of one step: optimizer.step(ema_momentum=0.996)

    Its steps compute what torch's optimizer of that name does, followed by `ema_update_`. It is a torch optimizer
    itself: with parameter groups, learning-rate schedulers, hooks and closures, and with state dicts that torch's
    own can load, and the other way round. An option out of its range, and one of torch's that asks for something
    else than is computed here (`maximize=True`), is refused wherever it enters: ValueError, and nothing moves.
    What follows the parameters is no part of the state dict: it belongs to a module that is saved with its own.

    Nothing waits for the device. A CUDA graph can replay a step: make `lr` and `ema_momentum` tensors on the GPU
    to change them between replays. Where the attribute `found_inf`, a 0-d fp32 tensor, is 1, a step changes
    nothing, as with torch's fused optimizers. A GradScaler unscales the gradients before the step, as for any
    optimizer that does not do it itself.

    Attributes:
        ema_momentum: of what `add_ema` added, in [0, 1]: a float, or a 0-d fp32 or fp64 tensor, on the CPU or with
            the parameters; may be set between steps. None: each step is given its own.
        impl: of the step.
    """

    options: ClassVar[tuple[str, ...]]  # of a parameter group, the numbers and flags that a step takes
    neutral: ClassVar[dict[str, Any]]  # options of torch's optimizers that no step reads, and what they have to be

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], impl: Impl) -> None:
        check_impl(type(self).__name__, impl, SGD)
        self._check_group(defaults)
        super().__init__(params, defaults)
        self.impl = impl
        self.ema_momentum: float | Tensor | None = None
        self._targets: dict[Tensor, Tensor] = {}  # by what they follow
        self._shadows: dict[Tensor, Tensor] = {}

    def add_ema(
        self, targets: Iterable[Tensor], sources: Iterable[Tensor], *, momentum: float | Tensor | None = None
    ) -> None:
        """Moves targets towards sources in each step from now on, all by the same momentum.

        Where a source is a parameter of this optimizer that has a gradient, in the same pass; else (a frozen or
        unused parameter, a buffer) by `ema_update_`, after it.

        Args:
            targets: tensors as `ema_update_` takes them.
            sources: as many.
            momentum: a new value of the attribute `ema_momentum`; None: it stays what it is.

        Raises:
            ValueError: lists of different lengths, or a source that has a target already.
        """
        targets, sources = list(targets), list(sources)
        _check_new("add_ema", self._targets, targets, sources)
        if momentum is not None:
            self.ema_momentum = momentum
        self._targets.update(zip(sources, targets, strict=True))

    def add_shadows(self, shadows: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
        """Copies sources into shadows in each step from now on: fp32 weights into bf16 ones for the forward pass.

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
        """Takes one step.

        Args:
            closure: computes the loss and its gradients again, as torch's optimizers take it.
            ema_momentum: of this step, in place of the attribute.

        Returns:
            The closure's loss, if there is one.

        Raises:
            ValueError: `add_ema` was called, and neither the attribute nor the argument is set; or a parameter
                group's options have been changed to what is refused.
        """
        for group in self.param_groups:
            self._check_group(group)
        if ema_momentum is None:
            ema_momentum = self.ema_momentum
        if ema_momentum is None:
            if self._targets:
                raise ValueError(
                    "step: expected a momentum for what add_ema added, got None; set the optimizer's "
                    "ema_momentum, or pass step(ema_momentum=...)"
                )
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

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group of parameters as torch's optimizers do.

        Raises:
            ValueError: an option is out of its range, or asks for something that is not computed here.
        """
        if isinstance(param_group, dict):  # else torch finds the words
            self._check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes what `load_state_dict` or unpickling brings.

        Raises:
            ValueError: an option is missing, as in the state dict of another optimizer, out of its range, or asks
                for something that is not computed here; the optimizer is as it was.
        """
        for group in state["param_groups"]:
            if missing := [option for option in self.options if option not in group]:
                raise ValueError(
                    f"{type(self).__name__}: expected a parameter group with {', '.join(self.options)}, got one "
                    f"without {', '.join(missing)}, of another optimizer"
                )
            self._check_group(group)
        super().__setstate__(state)

    def _check_group(self, group: dict[str, Any]) -> None:
        """Raises ValueError for a group's options that are out of range, or not implemented."""
        check_options(type(self).__name__, {option: group[option] for option in self.options})
        for option, value in self.neutral.items():
            if group.get(option, value) != value:
                raise ValueError(
                    f"{type(self).__name__}: expected {option}={value!r}, the only value that it implements, got "
                    f"{group[option]!r}; use torch's optimizer for it"
                )

    def _zero_state(self, params: list[Tensor], name: str) -> list[Tensor]:
        """Lists the parameters' states of that name: zero at first, so that a first step may be skipped too."""
        states = [self.state[p] for p in params]
        for state, p in zip(states, params, strict=True):
            if state.get(name) is None:
                state[name] = torch.zeros_like(p)
        return [state[name] for state in states]

    def __getstate__(self) -> dict[str, Any]:
        names = ("impl", "ema_momentum", "_targets", "_shadows")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}


def _check_new(name: str, known: dict[Tensor, Tensor], followers: list[Tensor], sources: list[Tensor]) -> None:
    """Raises ValueError unless each source, known or new, has one follower."""
    if len(followers) != len(sources):
        raise ValueError(f"{name}: expected as many tensors as the {len(sources)} sources, got {len(followers)}")
    followed = set(known)
    for i, source in enumerate(sources):
        if source in followed:
            raise ValueError(f"{name}: sources[{i}] has one that follows it already")
        followed.add(source)
