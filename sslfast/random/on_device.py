"""The order of an epoch as a tensor on the device that needs it.

A GPU computes it itself, by `triton_kernels.py`; for the CPU, and where Triton is missing, the host does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sslfast.device import to_device
from sslfast.kernels.common.op import MISSING
from sslfast.random.philox import permutation


def shuffled(seed: int, epoch: int, n: int, device: torch.device) -> Tensor:
    """Samples the order of an epoch: `philox.permutation`, int64 (n,), on the device."""
    if not samples_itself(device):
        return to_device(permutation(seed, epoch, n), device)
    from sslfast.random import triton_kernels

    return triton_kernels.permutation(seed, epoch, n, device)


def samples_itself(device: torch.device) -> bool:
    """Tells whether the device is a GPU that samples random numbers itself, by Triton's kernels."""
    return device.type == "cuda" and MISSING["triton"] is None
