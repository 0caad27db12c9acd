"""The published table that `make methods-check ARGS=--published` holds whole recipes against."""

from __future__ import annotations

from sslfast.benchmarks.methods.short import GPU
from sslfast.evaluation.linear import LinearConfig

# Li, Long, Li 2023 (MNCL), table 1: ResNet-18 after 200 epochs, top-1 of a linear classifier on CIFAR-10's test
# images. The two that the paper's claim is about come first, as time on a GPU is short.
PUBLISHED = {
    "nnclr": 0.8766,
    "mncl": 0.9018,
    "moco_v2": 0.8403,
    "simsiam": 0.8416,
    "simclr": 0.8711,
    "byol": 0.8558,
    "fast_moco": 0.8593,
}
EPOCHS = 200
SCALE = GPU
# Section 4.1 of the paper, on features that are computed once, see `linear_probe`.
LINEAR = LinearConfig(form="lars", lr=0.8, batch_size=256, epochs=90)
