"""Optimizer steps that move a network's moving average along, in one pass over the parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from sslfast.kernels.common.op import LIBRARY, Impl, Op
from sslfast.kernels.fused_optimizer import reference
from sslfast.kernels.fused_optimizer.checks import check_numbers, check_options, check_tensors

_FOLLOWERS = "Tensor(t!)[] targets, Tensor(s!)[] shadows"
_NUMBERS = "float lr, Tensor? lr_tensor, float ema_momentum, Tensor? ema_momentum_tensor, Tensor? found_inf"


def _op(name: str, states: str, options: str) -> Op:
    return Op(
        name,
        f"(Tensor(p!)[] params, Tensor[] grads, {states}, {_FOLLOWERS}, {_NUMBERS}, {options}) -> ()",
        impls=("cpp", "cuda"),
        dtypes=(torch.float32,),
        explicit=("cuda",),  # until a run of its tests on a GPU is recorded; `auto` then takes it
    )


SGD = _op("sgd_ema_step_", "Tensor(v!)[] momenta", "float momentum, float weight_decay, bool nesterov")
LARS = _op("lars_ema_step_", "Tensor(v!)[] momenta", "float momentum, float weight_decay, float trust_coefficient")
ADAMW = _op(
    "adamw_ema_step_",
    "Tensor(m!)[] exp_avgs, Tensor(v!)[] exp_avg_sqs, Tensor(n!)[] steps",
    "float beta1, float beta2, float eps, float weight_decay",
)
for op in (SGD, LARS, ADAMW):
    for compiled in op.impls:  # no derivative: a step belongs to no graph, whatever its tensors require
        LIBRARY.impl(f"{op.name}.{compiled}", torch.library.fallthrough_kernel, "Autograd")


def sgd_ema_step_(
    params: Iterable[Tensor],
    grads: Iterable[Tensor],
    momenta: Iterable[Tensor],
    *,
    lr: float | Tensor,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    targets: Iterable[Tensor] = (),
    shadows: Iterable[Tensor] = (),
    ema_momentum: float | Tensor = 1.0,
    found_inf: Tensor | None = None,
    impl: Impl = "auto",
) -> None:
    """Takes a step of SGD with momentum in place, and moves the parameters' averages and copies with it.

    `kernels.optimizers.FusedSGD` is the optimizer of these steps:

        for w, g, v, k, s in zip(params, grads, momenta, targets, shadows):
            d = g + weight_decay * w
            v.copy_(momentum * v + d)
            w.sub_(lr * (d + momentum * v if nesterov else v))
        ema_update_(targets, params, ema_momentum)
        ema_update_(shadows, params, 0)

    in one pass over the memory of "cpp" and "cuda". Where `found_inf` is 1 nothing changes, targets and shadows
    included. Computed in fp32 and rounded to each tensor's dtype; in fp64 by the reference.

    "cpp" is one parallel region on the CPU; "cuda" one launch on the GPU (of up to 384 parameters), with neither
    a host read nor a table to keep, which a CUDA graph replays with new values of what is a tensor on the GPU.
    "auto" takes "cpp" on the CPU; on the GPU, for parameters that are not fp32, and where nothing was compiled,
    torch's fused and multi-tensor kernels. Tensors whose memory format differs from their parameter's are copied
    on the way; none but gradients may be expanded. There is no derivative.

    Args:
        params: tensors w of any shapes, of one dtype, fp32 (fp16, bf16, fp64: reference only), on one device.
        grads: as many g, each of its parameter's shape; fp32, fp16, bf16 or the parameters' dtype.
        momenta: as many v, of the parameters' dtype, zero before the first step; left alone where momentum is 0.
        lr: learning rate; a float or a 0-d fp32 or fp64 tensor, on the CPU or with the parameters.
        momentum: decay of v, at least 0.
        weight_decay: an L2 penalty, at least 0.
        nesterov: whether momentum is Nesterov's; it then has to be above 0.
        targets: none, or as many k, moved as `ema_update_` does: dtypes as of grads.
        shadows: none, or as many s that receive copies of the parameters: dtypes as of grads.
        ema_momentum: of the targets, in [0, 1]; a float or a tensor as lr.
        found_inf: a 0-d fp32 tensor with the parameters, as torch's fused optimizers take it.
        impl: "auto", "reference", "cpp" (CPU) or "cuda".

    Raises:
        ValueError: lists, shapes, strides, dtypes or devices that do not fit; a number out of range.
        RuntimeError: an explicit `impl` that is not available.
    """
    given = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    check_options(SGD.name, given)
    momenta = momenta if momentum else ()
    lists = {"params": params, "grads": grads, "momenta": momenta, "targets": targets, "shadows": shadows}
    optional = ("targets", "shadows") if momentum else ("momenta", "targets", "shadows")
    options = (float(momentum), float(weight_decay), bool(nesterov))
    _run(SGD, reference.sgd_ema_step_, lists, optional, lr, ema_momentum, found_inf, options, impl)


def lars_ema_step_(
    params: Iterable[Tensor],
    grads: Iterable[Tensor],
    momenta: Iterable[Tensor],
    *,
    lr: float | Tensor,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    trust_coefficient: float = 1e-3,
    targets: Iterable[Tensor] = (),
    shadows: Iterable[Tensor] = (),
    ema_momentum: float | Tensor = 1.0,
    found_inf: Tensor | None = None,
    impl: Impl = "auto",
) -> None:
    """Takes a step of LARS in place, and moves the parameters' averages and copies with it.

    LARS is of You, Gitman and Ginsburg 2017 (arXiv:1708.03888). `kernels.optimizers.FusedLARS` is the optimizer of
    these steps, those of `sgd_ema_step_` with d scaled for each parameter:

        d = g + weight_decay * w
        if w.norm() > 0 and d.norm() > 0:
            d = trust_coefficient * w.norm() / d.norm() * d

    The norms are of one pass before, summed in an order that depends on shapes alone, and stay on the device: on
    the GPU these are two launches.

    Args:
        trust_coefficient: eta in the paper.

    The other arguments, and errors, are `sgd_ema_step_`'s.
    """
    given = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust_coefficient": trust_coefficient}
    check_options(LARS.name, given)
    momenta = momenta if momentum else ()
    lists = {"params": params, "grads": grads, "momenta": momenta, "targets": targets, "shadows": shadows}
    optional = ("targets", "shadows") if momentum else ("momenta", "targets", "shadows")
    options = (float(momentum), float(weight_decay), float(trust_coefficient))
    _run(LARS, reference.lars_ema_step_, lists, optional, lr, ema_momentum, found_inf, options, impl)


def adamw_ema_step_(
    params: Iterable[Tensor],
    grads: Iterable[Tensor],
    exp_avgs: Iterable[Tensor],
    exp_avg_sqs: Iterable[Tensor],
    steps: Iterable[Tensor],
    *,
    lr: float | Tensor,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    targets: Iterable[Tensor] = (),
    shadows: Iterable[Tensor] = (),
    ema_momentum: float | Tensor = 1.0,
    found_inf: Tensor | None = None,
    impl: Impl = "auto",
) -> None:
    """Takes a step of AdamW in place, and moves the parameters' averages and copies with it.

    AdamW is of Loshchilov and Hutter 2019 (arXiv:1711.05101, algorithm 2). `kernels.optimizers.FusedAdamW` is the
    optimizer of these steps, which are torch's:

        for w, g, m, s, n in zip(params, grads, exp_avgs, exp_avg_sqs, steps):
            n.add_(1)
            m.copy_(beta1 * m + (1 - beta1) * g)
            s.copy_(beta2 * s + (1 - beta2) * g**2)
            denominator = (s / (1 - beta2**n)).sqrt() + eps
            w.copy_((1 - lr * weight_decay) * w - lr * m / (1 - beta1**n) / denominator)

    On the GPU, a second small launch counts the steps.

    Args:
        exp_avgs: m, of the parameters' dtype and zero before the first step, as is s.
        exp_avg_sqs: s.
        steps: n, the steps done, 0-d fp32 tensors with the parameters.
        betas: decays of m and s, in [0, 1).
        eps: added to the denominator.
        weight_decay: decoupled from the gradient.

    The other arguments, and errors, are `sgd_ema_step_`'s.
    """
    check_options(ADAMW.name, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
    states = {"exp_avgs": exp_avgs, "exp_avg_sqs": exp_avg_sqs, "steps": steps}
    lists = {"params": params, "grads": grads, **states, "targets": targets, "shadows": shadows}
    options = tuple(map(float, (*betas, eps, weight_decay)))
    _run(
        ADAMW, reference.adamw_ema_step_, lists, ("targets", "shadows"), lr, ema_momentum, found_inf, options, impl
    )


def _run(
    op: Op,
    plain: Callable[..., None],
    iterables: dict[str, Iterable[Tensor]],
    optional: tuple[str, ...],
    lr: float | Tensor,
    ema_momentum: float | Tensor,
    found_inf: Tensor | None,
    options: tuple[Any, ...],
    impl: Impl,
) -> None:
    lists = {name: list(tensors) for name, tensors in iterables.items()}
    params = lists["params"]
    check_numbers(op.name, lists, optional, lr, ema_momentum, found_inf)
    if not params:
        return
    lr, ema_momentum = (x if isinstance(x, Tensor) else float(x) for x in (lr, ema_momentum))
    chosen = op.choose(impl, params[0].device, params[0].dtype)
    if chosen == "reference":
        check_tensors(op.name, lists)
        plain(*lists.values(), lr, ema_momentum, found_inf, *options)
    else:
        try:
            with torch.no_grad():  # what the kernel makes contiguous, it copies back through torch
                op.call(chosen, *lists.values(), *_number(lr), *_number(ema_momentum), found_inf, *options)
        except RuntimeError:
            check_tensors(op.name, lists)  # the kernel checks too, faster than Python could, but without words
            raise
    if not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version([x for name in lists if name != "grads" for x in lists[name]])


def _number(value: float | Tensor) -> tuple[float, Tensor | None]:
    return (1.0, value) if isinstance(value, Tensor) else (value, None)


def _fake(op: Op, states: tuple[str, ...]) -> None:
    names = ("params", "grads", *states, "targets", "shadows")

    @op.fake
    def _(*args: Any) -> None:
        check_tensors(op.name, dict(zip(names, args, strict=False)))  # the numbers come after the lists


_fake(SGD, ("momenta",))
_fake(LARS, ("momenta",))
_fake(ADAMW, ("exp_avgs", "exp_avg_sqs", "steps"))
