"""Checks that look at values, and so wait for the device: off unless they are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

TOLERANCE = 0.02  # of a length: bf16 rounds a component to 2**-9 of itself
_depth = 0


@contextlib.contextmanager
def debug() -> Iterator[None]:
    """Lets the contrastive losses look at their inputs: rows that are not of length 1 are a ValueError.

    The losses use their inputs as given, and to forget the normalization is no error otherwise: training goes on,
    worse. The check waits for the device; code that torch.compile has compiled is not checked.

        with sslfast.kernels.debug():
            loss = info_nce(query, positive, queue, temperature=0.2)

    Rows of zeros pass: a key of zeros has logit 0 with every row.
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def check_unit_rows(op: str, **rows: Tensor) -> None:
    """Raises ValueError within `debug` for rows, along the last dimension, whose length is neither 1 nor 0."""
    if not _depth or torch.compiler.is_compiling():
        return
    for name, tensor in rows.items():
        lengths = tensor.detach().double().norm(dim=-1)
        if bool(((lengths - 1).abs() > TOLERANCE).logical_and(lengths != 0).any()) or bool(lengths.isnan().any()):
            least, most = lengths.min().item(), lengths.max().item()
            raise ValueError(
                f"{op}: expected {name} with rows of length 1, got lengths from {least:.3g} to {most:.3g}; pass "
                f"F.normalize({name}, dim=-1), or leave sslfast.kernels.debug()"
            )
