"""Helpers of the functions that launch Triton kernels: the GPU's limits, exact matrix products, constants."""

import math

import torch
import triton.language as tl
from torch import Tensor

LOG2_E = math.log2(math.e)
LOWEST = tl.constexpr(-3e38)  # below every logit; finite, so that a row of -inf gives 0 and not inf - inf
SHARED_MEMORY = 160 * 1024  # bytes; A100 has 163 KiB, Hopper and Blackwell have 227, GPUs for consumers 99


def processors(tensor: Tensor) -> int:
    """The number of streaming multiprocessors of the tensor's GPU."""
    if tensor.is_cuda:
        return torch.cuda.get_device_properties(tensor.device).multi_processor_count
    return 4  # the interpreter: enough for parts to merge


def shared_memory(tensor: Tensor) -> int:
    """The bytes of shared memory that a block of threads may use on the tensor's GPU."""
    if tensor.is_cuda:
        properties = torch.cuda.get_device_properties(tensor.device)
        return properties.shared_memory_per_block_optin  # type: ignore[attr-defined]  # torch's stub lacks it
    return 2**20  # the interpreter: no limit


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiplies a @ b, accumulated and returned in fp32."""
    with torch.autocast(a.device.type, enabled=False):
        if a.is_cuda and a.dtype != torch.float32:
            return torch.mm(a, b, out_dtype=torch.float32)
        return torch.mm(a.float(), b.float())
