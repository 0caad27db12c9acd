"""Cross-entropy with soft targets, as in SwAV, without the matrix of probabilities."""

from typing import Any

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.losses import Reduction, reduce
from sslfast.kernels.common.op import MISSING, Impl, Op
from sslfast.kernels.soft_cross_entropy import reference

OP = Op(
    "soft_cross_entropy",
    "(Tensor logits, Tensor targets, float temperature) -> (Tensor loss, Tensor statistics)",
    impls=("cpp", "triton"),
)
# Elements of the logits: below, autograd's calls for an operator of ours cost more than eager PyTorch's passes.
SMALL = 2**16
BACKWARD = Op(
    "soft_cross_entropy_backward",
    "(Tensor d_loss, Tensor logits, Tensor targets, Tensor statistics, float temperature) -> Tensor",
    impls=OP.impls,
    internal=True,
)


def soft_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    temperature: float,
    reduction: Reduction = "mean",
    impl: Impl = "auto",
) -> Tensor:
    """Computes the cross-entropy of soft targets, such as SwAV's codes, and a softmax over the logits.

    The loss is SwAV's (Caron et al. 2020, equation 2), as PyTorch:

        log_p = F.log_softmax(logits.float() / temperature, dim=1)
        loss = -(targets * log_p).sum(dim=1)  # and its mean

    Targets are used as given: they need not sum to 1. One pass over logits and targets gives the loss, and
    another one the gradient to the logits, from three numbers that the first keeps of each row. Both compute in
    fp32. Under autocast the inputs are taken as they are.

    The product with the prototypes is left to PyTorch: fused with it, the backward pass would compute the product
    again, to save passes over the logits.

    Args:
        logits: (B, K), K > 0; fp32, fp16, bf16, or fp64 (reference only).
        targets: (B, K), q; a floating dtype, which may differ from the logits'. Receives a gradient if it
            asks: -log p.
        temperature: t > 0, divides the logits.
        reduction: "mean" or "sum" over the B samples, or "none".
        impl: "auto", "reference", "cpp" (CPU) or "triton" (CUDA).

    Returns:
        The loss in fp32 (fp64 if either input is fp64): a scalar, or (B,) with reduction="none".

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, dtypes or devices that do not fit; a temperature or reduction out of range.
        RuntimeError: an explicit `impl` that is not available; a derivative of the gradient, except from
            the reference.
    """
    checks.check_tensors("soft_cross_entropy", logits=logits, targets=targets)
    _check(logits, targets)
    checks.check_temperature("soft_cross_entropy", temperature)
    checks.check_reduction("soft_cross_entropy", reduction)
    if impl == "auto" and logits.is_cpu and logits.numel() < SMALL:
        return reference.soft_cross_entropy(logits, targets, temperature, reduction)
    chosen = OP.choose(impl, logits.device, torch.promote_types(logits.dtype, targets.dtype))
    if chosen == "reference":
        return reference.soft_cross_entropy(logits, targets, temperature, reduction)
    losses, _ = OP.call(chosen, logits, targets, temperature)
    return reduce(losses, reduction)


def _check(logits: Tensor, targets: Tensor) -> None:
    shape = logits.shape
    if len(shape) != 2 or shape[1] == 0:
        raise ValueError(f"soft_cross_entropy: expected logits of shape (B, K) with K > 0, got {tuple(shape)}")
    if targets.shape != shape:
        raise ValueError(
            f"soft_cross_entropy: expected targets of shape {tuple(shape)} to match logits, "
            f"got {tuple(targets.shape)}"
        )
    for name, tensor in (("logits", logits), ("targets", targets)):
        if not tensor.dtype.is_floating_point:
            raise ValueError(f"soft_cross_entropy: expected {name} of a floating-point dtype, got {tensor.dtype}")
    if targets.device != logits.device:
        raise ValueError(
            f"soft_cross_entropy: expected targets on {logits.device} to match logits, got {targets.device}"
        )


@OP.fake
def _(logits: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    b = logits.shape[0]
    return logits.new_empty(b, dtype=torch.float32), logits.new_empty((b, 3), dtype=torch.float32)


@BACKWARD.fake
def _(d_loss: Tensor, logits: Tensor, targets: Tensor, statistics: Tensor, temperature: float) -> Tensor:
    return logits.new_empty(logits.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    logits, targets, ctx.temperature = inputs
    _, statistics = output
    ctx.mark_non_differentiable(statistics)
    ctx.save_for_backward(logits, targets, statistics)


def _backward(ctx: Any, d_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    logits, targets, statistics = ctx.saved_tensors
    d_logits = d_targets = None
    if ctx.needs_input_grad[0]:
        d_logits = BACKWARD.call(ctx.impl, d_loss, logits, targets, statistics, ctx.temperature)
    if ctx.needs_input_grad[1]:
        top, z, _ = statistics.unbind(dim=1)
        log_p = (logits.float() - top[:, None]) / ctx.temperature - z.log()[:, None]
        d_targets = (-d_loss[:, None] * log_p).to(targets.dtype)
    return d_logits, d_targets, None


OP.autograd(_setup_context, _backward)

if MISSING["triton"] is None:
    from sslfast.kernels.soft_cross_entropy import triton_kernels

    OP.triton(triton_kernels.soft_cross_entropy)
    BACKWARD.triton(triton_kernels.soft_cross_entropy_backward)
