"""The protocols that judge an encoder. Adding one: its file here, its line below, a test."""

from sslfast.evaluation.finetune import FINETUNE
from sslfast.evaluation.knn import KNN
from sslfast.evaluation.linear import LINEAR
from sslfast.evaluation.protocol import Protocol

PROTOCOLS: dict[str, Protocol] = {
    "knn": KNN,
    "linear": LINEAR,
    "finetune": FINETUNE,
}

__all__ = ["PROTOCOLS", "Protocol"]
