"""Optimizers that move a network's moving average, and a copy in lower precision, along with its parameters."""

from sslfast.kernels.optimizers.adamw import FusedAdamW
from sslfast.kernels.optimizers.base import FusedOptimizer
from sslfast.kernels.optimizers.lars import FusedLARS
from sslfast.kernels.optimizers.sgd import FusedSGD

__all__ = ["FusedAdamW", "FusedLARS", "FusedOptimizer", "FusedSGD"]
