"""A small case, and settings of MoCo v2 that suit it."""

from sslfast.benchmarks.train.cases import SMALL, TrainCase

TINY = TrainCase("resnet18", 0.125, "cifar", 32, 16, 64, SMALL)
TINY_HEAD = ["method.queue_size=32", "method.hidden=16", "method.dim=16", "method.symmetric=false"]
