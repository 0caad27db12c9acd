"""Triton's interpreter, in which its kernels run where there is no GPU."""

import pytest
import torch

GPU = torch.cuda.is_available()

# A mark for the modules whose tests run in it: it makes numpy complain.
QUIET = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:triton.runtime.interpreter", "ignore::RuntimeWarning:triton.runtime.interpreter"
)


def skip_products_in_bf16(impl: str, dtype: torch.dtype) -> None:
    """Skips a test that would multiply matrices in bf16 in the interpreter."""
    if impl in ("triton", "triton_tma") and dtype == torch.bfloat16 and not GPU:
        pytest.skip("Triton 3.6's interpreter multiplies bf16 wrongly")
