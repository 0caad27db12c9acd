"""The measure of exactness for the ops: no worse than eager PyTorch in the same dtype."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def assert_accurate(out: Tensor, eager: Tensor, truth: Tensor, dtype: torch.dtype) -> None:
    """Asserts that max|truth - out| <= 2 max|truth - eager| + atol.

    Args:
        out: the result of an implementation.
        eager: the same from the reference, in the same dtype.
        truth: the same from the reference in fp64.
        dtype: atol is four units of its rounding, at the scale of `truth`.
    """
    assert out.shape == truth.shape
    assert torch.isfinite(out).all()
    if not out.numel():
        return
    error = (truth - out.to(truth)).abs().max()
    allowed = 2 * (truth - eager.to(truth)).abs().max()
    allowed += 4 * torch.finfo(dtype).eps * truth.abs().max().clamp(min=1)
    assert error <= allowed, f"error {error:.3g}, allowed {allowed:.3g}"


def results(
    op: Callable[..., Any], impl: str, *tensors: Tensor, asks: Sequence[int], **options: Any
) -> list[Tensor]:
    """Calls an op.

    Args:
        op: the public function.
        impl: the implementation.
        tensors: its tensors.
        asks: those of them that get a gradient, by position.
        options: the op's other arguments.

    Returns:
        The results, and the gradients of their sum in arbitrary weights, -1 to 2, to the tensors that ask.
    """
    tensors = tuple(tensor.detach().requires_grad_(i in asks) for i, tensor in enumerate(tensors))
    out = op(*tensors, impl=impl, **options)
    out = out if isinstance(out, tuple) else (out,)
    values = [tensor.detach() for tensor in out]
    if asks:
        smooth = [tensor for tensor in out if tensor.requires_grad]
        weights = [torch.linspace(-1, 2, x.numel(), dtype=x.dtype, device=x.device).view_as(x) for x in smooth]
        values += torch.autograd.grad(smooth, [tensors[i] for i in asks], weights)
    return values


def assert_no_worse_than_eager(
    op: Callable[..., Any],
    impl: str,
    *tensors: Tensor,
    asks: Sequence[int],
    dtype: torch.dtype | None = torch.float32,
    tolerance: torch.dtype | None = None,
    **options: Any,
) -> None:
    """Asserts that an op's only result and its gradients are accurate, and have the dtypes that they should.

    Args:
        op: the public function.
        impl: the implementation.
        tensors: its tensors.
        asks: those of them that get a gradient, by position.
        dtype: of the result; None: the first tensor's.
        tolerance: the dtype whose rounding the result may show; None: the first tensor's. A gradient has its own.
        options: the op's other arguments.
    """
    wide = (tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors)
    out, eager = (results(op, name, *tensors, asks=asks, **options) for name in (impl, "reference"))
    truth = results(op, "reference", *wide, asks=asks, **options)
    first = tensors[0].dtype
    gradients = [tensors[i].dtype for i in asks]
    assert [tensor.dtype for tensor in out] == [dtype or first, *gradients]
    for *values, rounding in zip(out, eager, truth, [tolerance or first, *gradients], strict=True):
        assert_accurate(*values, rounding)
