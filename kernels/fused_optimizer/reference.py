"""The optimizers' steps by torch's fused and multi-tensor kernels, one after another: the specification.

Like the compiled kernels these compute in fp32, or in fp64 if the parameters are fp64, and round to each tensor's
dtype at the end.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from sslfast.kernels.ema_update import foreach

Tensors = Sequence[Tensor]


@torch.no_grad()
def sgd_ema_step_(
    params: Tensors, grads: Tensors, momenta: Tensors, targets: Tensors, shadows: Tensors, lr: float | Tensor,
    ema_momentum: float | Tensor, found_inf: Tensor | None, momentum: float, weight_decay: float, nesterov: bool,
) -> None:  # fmt: skip
    """Takes a step of torch.optim.SGD, then of ema_update_."""
    flat = _flat(params, grads, momenta)
    sgd(
        flat[0],
        flat[1],
        list(flat[2]) or [None] * len(params),
        fused=True,
        found_inf=found_inf,
        weight_decay=weight_decay,
        momentum=momentum,
        lr=lr,  # type: ignore[arg-type]  # a tensor will do
        dampening=0.0,
        nesterov=nesterov,
        maximize=False,
    )
    _copy_back(flat, params, momenta)
    _follow(params, targets, shadows, ema_momentum, found_inf)


@torch.no_grad()
def lars_ema_step_(
    params: Tensors, grads: Tensors, momenta: Tensors, targets: Tensors, shadows: Tensors, lr: float | Tensor,
    ema_momentum: float | Tensor, found_inf: Tensor | None, momentum: float, weight_decay: float,
    trust_coefficient: float,
) -> None:  # fmt: skip
    """Takes a step of SGD along trust_coefficient |w| / |d| d with d = g + weight_decay w, then ema_update_."""
    wide = torch.promote_types(params[0].dtype, torch.float32)
    weights, gradients = ([x.to(wide) for x in tensors] for tensors in (params, grads))
    directions = list(torch._foreach_add(gradients, weights, alpha=weight_decay))
    weight_norms, norms = (torch.stack(torch._foreach_norm(x)) for x in (weights, directions))
    adapted = (weight_norms > 0) & (norms > 0)
    ratios = torch.where(adapted, trust_coefficient * weight_norms / norms, 1.0)
    torch._foreach_mul_(directions, ratios.unbind())
    sgd_ema_step_(
        params, directions, momenta, targets, shadows, lr, ema_momentum, found_inf, momentum,
        weight_decay=0.0, nesterov=False,
    )  # fmt: skip


@torch.no_grad()
def adamw_ema_step_(
    params: Tensors, grads: Tensors, exp_avgs: Tensors, exp_avg_sqs: Tensors, steps: Tensors, targets: Tensors,
    shadows: Tensors, lr: float | Tensor, ema_momentum: float | Tensor, found_inf: Tensor | None, beta1: float,
    beta2: float, eps: float, weight_decay: float,
) -> None:  # fmt: skip
    """Takes a step of torch.optim.AdamW, then of ema_update_."""
    flat = _flat(params, grads, exp_avgs, exp_avg_sqs)
    adamw(
        flat[0],
        flat[1],
        flat[2],
        flat[3],
        [],
        list(steps),
        fused=True,
        found_inf=found_inf,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=lr,
        weight_decay=weight_decay,
        eps=eps,
        maximize=False,
    )
    _copy_back(flat, params, exp_avgs, exp_avg_sqs)
    _follow(params, targets, shadows, ema_momentum, found_inf)


def _flat(params: Tensors, grads: Tensors, *states: Tensors) -> list[list[Tensor]]:
    """Returns the tensors as torch's fused kernels need them: of one dtype, and alike in memory.

    They go through memory from each tensor's first element on, whatever its strides. Parameters in fp16 and bf16
    go to them as they are on a GPU only: on the CPU, torch's fused SGD (2.11) leaves them where they are and
    fills their momentum from uninitialized memory. A gradient of higher precision is not rounded before its use.
    """
    dtype = params[0].dtype
    if dtype.itemsize == 2 and (params[0].device.type == "cpu" or any(g.dtype != dtype for g in grads)):
        dtype = torch.float32
    lists: list[list[Tensor]] = [[] for _ in range(2 + len(states))]
    for p, *others in zip(params, grads, *states if any(states) else (), strict=True):
        alike = _is_dense(p) and all(x.stride() == p.stride() for x in others)
        for flat, x in zip(lists, (p, *others), strict=False):
            flat.append((x if alike else x.contiguous()).to(dtype))
    return lists


def _is_dense(tensor: Tensor) -> bool:
    return tensor.is_contiguous() or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))


def _copy_back(flat: list[list[Tensor]], params: Tensors, *states: Tensors) -> None:
    for tensors, copies in zip((params, *states), (flat[0], *flat[2:]), strict=True):
        for tensor, copy in zip(tensors, copies, strict=True):
            if copy is not tensor:
                tensor.copy_(copy)


def _follow(
    params: Tensors, targets: Tensors, shadows: Tensors, momentum: float | Tensor, found_inf: Tensor | None
) -> None:
    for followers, m in ((targets, momentum), (shadows, 0.0)):
        if followers:
            foreach.ema_update_(followers, params, m if found_inf is None else skipping(m, found_inf))


def skipping(momentum: float | Tensor, found_inf: Tensor) -> Tensor:
    """Returns the momentum, or 1, which changes nothing, where `found_inf` is 1."""
    one = torch.ones_like(found_inf, dtype=torch.float64)  # so that a float keeps its value
    return torch.where(found_inf == 1, one, momentum)
