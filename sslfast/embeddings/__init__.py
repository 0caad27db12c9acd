"""The features of images with their names and labels: in files, and searched."""

from sslfast.embeddings.embeddings import Embeddings

__all__ = ["Embeddings"]
