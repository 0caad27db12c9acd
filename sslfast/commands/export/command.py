"""The command: an encoder by its name, written in one of the formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sslfast.commands.export.detectron2 import write_detectron2
from sslfast.commands.export.hugging_face import write_hugging_face
from sslfast.commands.export.onnx import write_onnx
from sslfast.commands.export.timm import write_timm
from sslfast.commands.export.torchvision import write_torchvision
from sslfast.config.paths import user_path
from sslfast.errors import UsageError
from sslfast.weights import NamedEncoder, find_encoder


class Format(NamedTuple):
    """A format: the suffix of its file, "" for a folder, and what writes it."""

    suffix: str
    write: Callable[[NamedEncoder, Path], None]


FORMATS = {
    "torchvision": Format(".safetensors", write_torchvision),
    "timm": Format(".safetensors", write_timm),
    "onnx": Format(".onnx", write_onnx),
    "hf": Format("", write_hugging_face),
    "detectron2": Format(".pth", write_detectron2),
}


def export(encoder: str | Path, out: str | Path, format: str, *, overwrite: bool = False) -> Path:
    """Writes an encoder in a format that other software loads.

    Args:
        encoder: which one, as `sslfast.load_encoder` takes it.
        out: the file to write, with the format's suffix; of "hf" the folder.
        format: a key of FORMATS: "torchvision" and "timm" (.safetensors, which their models load strictly), "onnx"
            (.onnx), "hf" (a folder for the Hugging Face Hub, with a model card) and "detectron2" (.pth).
        overwrite: replace what exists.

    Returns:
        `out`.

    Raises:
        UsageError: there is no such format or encoder, the format cannot hold it, a package that it needs is
            missing, or `out` exists, cannot be written or has another suffix.
    """
    if format not in FORMATS:
        raise UsageError(f"--format {format}: expected one of {', '.join(FORMATS)}")
    suffix, write = FORMATS[format]
    out = user_path(out)
    if out.suffix != suffix:
        article = "an" if suffix == ".onnx" else "a"
        expected = f"the name of {article} {suffix} file" if suffix else "the name of a folder, without a suffix"
        raise UsageError(f"--out {out}: expected {expected}, which --format {format} writes")
    if out.exists() and not overwrite:
        raise UsageError(f"--out {out}: exists; choose another name, or replace it with --overwrite")
    found = find_encoder(encoder)
    try:
        write(found, out)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot write: {error.strerror or error}") from error
    return out
