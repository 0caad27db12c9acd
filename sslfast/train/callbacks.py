"""The functions of a person's own that training calls.

They are called on every process. What they raise ends the run, whose latest checkpoint is good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from sslfast.encoders import Encoder

# (steps done, the loss and the method's further values by name, 0-d tensors on the device): to read one makes the
# host wait for the device.
OnStep = Callable[[int, Mapping[str, Tensor]], object]

# (epochs done, the encoder as it trains, in training mode): after the epoch's checkpoint and kNN accuracy, where
# these were due.
OnEpoch = Callable[[int, Encoder], object]


def no_call(*_: Any) -> None:
    """Does nothing: the callback where none is given."""
