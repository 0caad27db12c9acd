"""Encoders by name: one way to say which weights are meant, for every command and for a recipe."""

from sslfast.weights.named import NamedEncoder, find_encoder, load_encoder

__all__ = ["NamedEncoder", "find_encoder", "load_encoder"]
