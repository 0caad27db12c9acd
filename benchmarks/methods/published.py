"""The published table that `make methods-check ARGS=--published` holds whole recipes against."""

from __future__ import annotations

from sslfast.benchmarks.methods.short import GPU
from sslfast.benchmarks.reproduce.tables import METHODS
from sslfast.evaluation.linear.config import LinearConfig

# Li, Long, Li 2023 (MNCL), table 1: ResNet-18 after 200 epochs by one protocol, that of the recipes
# <method>_mncl_cifar10, top-1 of a linear classifier on CIFAR-10's test images. The two that the paper's claim is
# about come first, as time on a GPU is short.
PUBLISHED = {name: METHODS[name] for name in ("nnclr", "mncl", *METHODS)}
EPOCHS = 200
SCALE = GPU
# Section 4.1 of the paper, on features that are computed once, see `linear_probe`.
LINEAR = LinearConfig(form="lars", lr=0.8, batch_size=256, epochs=90)
