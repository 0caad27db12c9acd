"""The supervised contrastive loss without the M x M matrix of logits."""

from typing import Any

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.autocast import autocast
from sslfast.kernels.common.debug import check_unit_rows
from sslfast.kernels.common.info_nce_forms import divided
from sslfast.kernels.common.losses import Reduction, reduce
from sslfast.kernels.common.op import MISSING, Impl, Op
from sslfast.kernels.sup_con import reference

# The results are losses, two numbers of each row for the backward pass, and the numbers of positives, all (M,).
# Labels are int64. Without labels rows i and i + M / 2 are each other's positive: that is NT-Xent, which shares
# the backward pass.
OP = Op(
    "sup_con",
    "(Tensor features, Tensor? labels, float temperature)"
    " -> (Tensor loss, Tensor top, Tensor log_sum, Tensor count)",
    impls=("cpp", "triton"),
)
# The gradient of the losses, (M,), or of their mean, ().
BACKWARD = Op(
    "sup_con_backward",
    "(Tensor d_loss, Tensor features, Tensor? labels, Tensor top, Tensor log_sum, Tensor count, float temperature)"
    " -> Tensor",
    impls=OP.impls,
    internal=True,
)


def sup_con(
    features: Tensor,
    labels: Tensor,
    *,
    temperature: float | Tensor,
    reduction: Reduction = "mean",
    impl: Impl = "auto",
) -> Tensor:
    """Computes the supervised contrastive loss: every sample draws the others of its label near, among all others.

    The loss is Khosla et al.'s (2020, equation 2, L_out):

        itself = torch.eye(M, dtype=torch.bool)
        logits = features @ features.T / temperature                                  # (M, M)
        positive = (labels[:, None] == labels) & ~itself                              # (M, M)
        log_sum = logits.masked_fill(itself, -torch.inf).logsumexp(1)                 # (M,)
        losses = log_sum - logits.where(positive, 0).sum(1) / positive.sum(1)         # (M,)

    An anchor without a positive has loss 0 and no part in the mean, which is 0 if no anchor has one. The
    features are used as given: normalize them before. Several views of a sample are rows with the same label.
    The backward pass computes the logits again. Products are accumulated in fp32.

    Every anchor's loss involves every row: NaN in one row makes all losses NaN but those of anchors without a
    positive.

    Args:
        features: (M, D), fp32, fp16, bf16, or fp64 (reference only). Under autocast they are cast as for a
            matmul.
        labels: (M,), of an integer dtype, any values.
        temperature: t > 0, divides the logits. A float, or a tensor of shape (), fp32 or fp64, which receives a
            gradient and is not read by the host.
        reduction: "mean" over the anchors that have a positive, "sum", or "none".
        impl: "auto", "reference", "cpp" (CPU) or "triton" (CUDA).

    Returns:
        The loss in fp32 (fp64 for fp64 features): a scalar, or (M,) with reduction="none".

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, dtypes or devices that do not fit.
        RuntimeError: an explicit `impl` that is not available; a derivative of the gradient, except from
            the reference.
    """
    checks.check_tensors("sup_con", features=features, labels=labels)
    (features,) = autocast(features)
    _check(features, labels)
    checks.check_reduction("sup_con", reduction)
    check_unit_rows("sup_con", features=features)
    features, scale = divided("sup_con", features, temperature, both=True)
    chosen = OP.choose(impl, features.device, features.dtype)
    if chosen == "reference":
        losses, count = reference.sup_con(features, labels, scale)
    else:
        losses, _, _, count = OP.call(chosen, features, labels.long(), scale)
    if reduction == "mean":
        return losses.sum() / (count > 0).sum().clamp(min=1)
    return reduce(losses, reduction)


def _check(features: Tensor, labels: Tensor) -> None:
    if features.ndim != 2 or features.shape[1] == 0:
        raise ValueError(f"sup_con: expected features of shape (M, D) with D > 0, got {tuple(features.shape)}")
    if labels.shape != features.shape[:1]:
        raise ValueError(
            f"sup_con: expected labels of shape ({len(features)},) to match features, got {tuple(labels.shape)}"
        )
    checks.check_alike("sup_con", "features", features=features)
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise ValueError(f"sup_con: expected labels of an integer dtype, got {labels.dtype}")
    if labels.device != features.device:
        raise ValueError(f"sup_con: expected labels on {features.device} to match features, got {labels.device}")


@OP.fake
def _(features: Tensor, labels: Tensor | None, temperature: float) -> tuple[Tensor, ...]:
    return tuple(features.new_empty(len(features), dtype=torch.float32) for _ in range(4))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    features, labels, ctx.temperature = inputs
    _, *rows = output
    ctx.mark_non_differentiable(*rows)
    ctx.save_for_backward(features, labels, *rows)


def _backward(ctx: Any, d_loss: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    return BACKWARD.call(ctx.impl, d_loss, *ctx.saved_tensors, ctx.temperature), None, None


OP.autograd(_setup_context, _backward)


@BACKWARD.fake
def _(d_loss: Tensor, features: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(features, memory_format=torch.contiguous_format)


if MISSING["triton"] is None:
    from sslfast.kernels.sup_con import triton_launch

    OP.triton(triton_launch.sup_con)
    BACKWARD.triton(triton_launch.sup_con_backward)
