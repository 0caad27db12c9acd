"""Random calls of every op: an error that names the op, or what the reference gives in fp64.

Shapes (empty ones, one row), dtypes, strides, temperatures, NaN and infinity, and numbers that stand for rows,
images or keys, in and out of their range. SSLFAST_FUZZ is the number of calls of each op and implementation.
"""

import os

import pytest
import torch

from tests.kernels.fuzz_calls import OPS, Sampler

CALLS = int(os.environ.get("SSLFAST_FUZZ", "25"))
IMPLS = ("cpp", "reference")


def called(function, tensors, impl, options):
    """Returns the result and the gradients; or the error, which has to name the op."""
    differentiable = [x.detach().requires_grad_() if x.is_floating_point() else x for x in tensors]
    try:
        out = function(*differentiable, impl=impl, **options)
    except (ValueError, TypeError, RuntimeError) as error:
        return error
    asked = [x for x in differentiable if x.requires_grad]
    gradients = torch.autograd.grad(out.sum(), asked, allow_unused=True) if out.requires_grad else ()
    return [out.detach(), *(x for x in gradients if x is not None)]


def rounded(tensors, seed):
    """Returns the tensors in fp32, as another rounding could have left them."""
    generator = torch.Generator().manual_seed(seed)
    changes = (1 + 2**-24 * torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in tensors)
    return [
        (x * change).float() if x.is_floating_point() else x for x, change in zip(tensors, changes, strict=True)
    ]


def assert_right(out, eager, truth, of_rounded, *, is_gradient):
    """Asserts that a tensor is NaN or infinite where the truth is, and elsewhere nearly as near to it as others.

    As eager is; or as eager is of inputs that are rounded otherwise, where it is exact by chance: for equal rows
    all is rounded alike. In a gradient of NaN, which is of no use, what else is finite may be NaN, too.
    """
    assert out.shape == truth.shape
    assert not out[~truth.isfinite()].isfinite().any()
    held = truth.isfinite() & eager.isfinite()  # what eager overflows, an op may too
    if is_gradient and not truth.isfinite().all():
        held &= out.isfinite()
    if held.any():
        assert out[held].isfinite().all()
        error, *others = ((x.double() - truth)[held].abs().max() for x in (out, eager, of_rounded))
        assert error <= 4 * max(others) + 8 * torch.finfo(eager.dtype).eps * truth[held].abs().max().clamp(min=1)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_an_error_or_the_right_value(op, impl):
    answered = 0
    for seed in range(CALLS):
        sampler = Sampler(seed)
        function, tensors, options = op(sampler)
        wide = [x.double() if x.is_floating_point() else x for x in tensors]
        out, eager = (called(function, tensors, name, options) for name in (impl, "reference"))
        truth, of_rounded = (called(function, x, "reference", options) for x in (wide, rounded(wide, seed)))
        message = f"seed {seed}: {[(tuple(x.shape), x.dtype) for x in tensors]} {options}"
        if isinstance(out, Exception):
            assert f"{op.__name__}: expected " in str(out), f"{message}: {out}"
            assert type(eager) is type(out), message
            continue
        assert not isinstance(truth, Exception), f"{message}: {truth}"
        answered += 1
        if isinstance(of_rounded, Exception):  # whole numbers that must be in range, such as a view's box
            of_rounded = eager
        if not truth[0].isfinite().all():  # then gradients are of no use, and need not be NaN alike
            out, eager, truth, of_rounded = (results[:1] for results in (out, eager, truth, of_rounded))
        for i, values in enumerate(zip(out, eager, truth, of_rounded, strict=True)):
            try:
                assert_right(*values, is_gradient=i > 0)
            except AssertionError as error:
                raise AssertionError(f"{message}: {error}") from error
    assert answered >= CALLS // 5  # the calls are not all of them refused
