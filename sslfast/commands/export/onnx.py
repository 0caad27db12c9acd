"""The ONNX format: the network itself, for onnxruntime and others."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from sslfast.commands.export.metadata import metadata
from sslfast.extras import require
from sslfast.run.atomic import atomic_write
from sslfast.weights import NamedEncoder


def write_onnx(found: NamedEncoder, out: Path) -> None:
    """Writes an encoder as a network from `images`, fp32 (B, C, S, S), to `features`, fp32 (B, feature_dim).

    B is free, C is the encoder's `channels`, S its `side`. Images are normalized beforehand, by the metadata's
    `mean` and `std`.

    Raises:
        MissingPackageError: onnx or onnxscript is not installed.
    """
    require("onnx", "export --format onnx")
    side = found.data.size
    images = torch.zeros(2, found.data.channels, side, side)  # 2, as a size of 1 is taken for a constant
    program = torch.onnx.export(
        found.encoder,
        (images,),
        input_names=["images"],
        output_names=["features"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update(metadata(found, found.config.name))
    with tempfile.TemporaryDirectory() as folder, atomic_write(out) as file:
        path = Path(folder) / out.name
        program.save(path)
        file.write(path.read_bytes())
