"""The linear probe: how well one linear layer on frozen features tells the classes apart."""

from sslfast.evaluation.linear.config import PUBLISHED, LinearConfig
from sslfast.evaluation.linear.probe import linear_probe
from sslfast.evaluation.linear.protocol import LINEAR

__all__ = ["LINEAR", "PUBLISHED", "LinearConfig", "linear_probe"]
