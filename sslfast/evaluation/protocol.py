"""The form of a protocol: its settings, and the function that judges an encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslfast.config import DataConfig
from sslfast.data import Source
from sslfast.encoders import Encoder

Row = dict[str, Any]  # a line of a result's table: keys out of `result.HEADINGS`, accuracies as shares in [0, 1]


@dataclass(frozen=True)
class Protocol:
    """A way to judge an encoder.

    Attributes:
        config: the dataclass of its settings, an `EvaluationConfig`; its docstring says what the protocol is.
        judge: (encoder, train, val, data, options, stem) -> rows. The encoder is on the device to compute on, and
            stays as it is; `train` and `val` are labelled alike; `data` has the size and the normalisation of the
            encoder's input; `options` are an instance of `config`. The names of files that a judgement writes
            begin with `stem`, and it goes on where another one of the same stem was interrupted.
    """

    config: type[Any]
    judge: Callable[[Encoder, Source, Source, DataConfig, Any, Path], list[Row]]
