"""Files of embeddings: .npz, .parquet, and .csv, which is written only."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from sslfast.config.paths import existing_path, user_path
from sslfast.embeddings.embeddings import Embeddings
from sslfast.errors import UsageError
from sslfast.extras import require
from sslfast.run.atomic import atomic_write

NPZ, PARQUET, CSV = ".npz", ".parquet", ".csv"


def check_out(out: str | Path, *, patches: bool) -> Path:
    """Checks the path of a file that embeddings can be written to.

    Raises:
        UsageError: its name says no form that they can have, or what that needs is not installed.
    """
    path = user_path(out)
    if path.suffix not in (NPZ, PARQUET, CSV):
        raise UsageError(f"--out {out}: expected the name of a {NPZ}, {PARQUET} or {CSV} file")
    if path.suffix == CSV and patches:
        raise UsageError(f"--out {out}: features of patches do not fit into a table; take {NPZ} or {PARQUET}")
    if path.suffix == PARQUET:
        _pyarrow(path)
    return path


def write(embeddings: Embeddings, out: str | Path) -> Path:
    """Writes embeddings, whole or not at all; returns the file, which is replaced where it exists.

    npz: the arrays `features`, `images`, `classes`, `encoder`, `weights` and, of labeled images, `labels`.
    parquet: a row an image, with `image`, `label`, the class's name, and `features`, a list; of patches (D, h, w)
    flattened, whose shape the schema's metadata has. csv: a row an image, with a column a feature.

    Raises:
        UsageError: as `check_out`, or the file cannot be written.
    """
    path = check_out(out, patches=embeddings.features.ndim > 2)
    content = {NPZ: _npz, PARQUET: _parquet, CSV: _csv}[path.suffix](embeddings, path)
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"--out {path}: cannot write the embeddings: {error.strerror or error}") from error
    return path


def read(name: str | Path) -> Embeddings:
    """Reads what `write` wrote as .npz or .parquet. Raises UsageError if it is something else."""
    path = existing_path(name)
    try:
        return _read_parquet(path) if path.suffix == PARQUET else _read_npz(path)
    except UsageError:
        raise
    except Exception as error:  # damaged bytes make the readers raise nearly anything
        raise UsageError(f"{path}: no embeddings that `sslfast embed` wrote, or damaged; embed again") from error


def _npz(embeddings: Embeddings, _: Path) -> bytes:
    arrays: dict[str, Any] = {name: np.array(getattr(embeddings, name)) for name in ("encoder", "weights")}
    arrays |= {name: np.array(getattr(embeddings, name), dtype=np.str_) for name in ("images", "classes")}
    if embeddings.labels is not None:
        arrays["labels"] = embeddings.labels
    content = io.BytesIO()
    np.savez(content, features=embeddings.features, **arrays)
    return content.getvalue()


def _read_npz(path: Path) -> Embeddings:
    with np.load(path, allow_pickle=False) as arrays:
        return Embeddings(
            arrays["features"],
            arrays["images"].tolist(),
            arrays.get("labels"),
            arrays["classes"].tolist(),
            str(arrays["encoder"]),
            str(arrays["weights"]),
        )


def _labels(embeddings: Embeddings) -> list[str | None]:
    """Names the class of each image."""
    if embeddings.labels is None:
        return [None] * len(embeddings.images)
    return [embeddings.classes[label] for label in embeddings.labels]


def _csv(embeddings: Embeddings, _: Path) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "label", *(f"f{i}" for i in range(embeddings.features.shape[1]))])
    for image, label, row in zip(embeddings.images, _labels(embeddings), embeddings.features, strict=True):
        table.writerow([image, "" if label is None else label, *map(str, row)])  # as few digits as tell fp32 apart
    return text.getvalue().encode(errors="surrogateescape")


def _parquet(embeddings: Embeddings, path: Path) -> bytes:
    pyarrow, parquet = _pyarrow(path)
    flat = embeddings.features.reshape(len(embeddings.images), -1)
    columns = {
        "image": pyarrow.array(embeddings.images, pyarrow.string()),
        "label": pyarrow.array(_labels(embeddings), pyarrow.string()),
        "features": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat.reshape(-1)), flat.shape[1]),
    }
    known = {"shape": embeddings.features.shape[1:], "classes": embeddings.classes}
    known |= {"encoder": embeddings.encoder, "weights": embeddings.weights}
    table = pyarrow.table(columns).replace_schema_metadata({"sslfast": json.dumps(known)})
    content = io.BytesIO()
    parquet.write_table(table, content)
    return content.getvalue()


def _read_parquet(path: Path) -> Embeddings:
    _, parquet = _pyarrow(path)
    table = parquet.read_table(path)
    known = json.loads(table.schema.metadata[b"sslfast"])
    flat = table["features"].combine_chunks().flatten().to_numpy()
    names, classes = table["label"].to_pylist(), known["classes"]
    position = {name: i for i, name in enumerate(classes)}
    return Embeddings(
        flat.reshape(len(names), *known["shape"]),
        table["image"].to_pylist(),
        np.array([position[name] for name in names], dtype=np.int64) if classes else None,
        classes,
        known["encoder"],
        known["weights"],
    )


def _pyarrow(path: Path) -> tuple[Any, Any]:
    require("data", str(path))
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet
