"""Semantic segmentation: a fully convolutional network on the encoder, trained on masks."""

from sslfast.evaluation.segmentation.protocol import SEGMENT

__all__ = ["SEGMENT"]
