"""`sslfast evaluate`: an encoder is judged, beside the same one with random weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import nn

from sslfast.config import DataConfig
from sslfast.config.settings import apply_overrides, nearest, validate
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.evaluation import PROTOCOLS
from sslfast.evaluation.images import is_same_source, open_labeled, readable, train_and_test, with_split
from sslfast.evaluation.result import Evaluation, result_name
from sslfast.evaluation.training import with_ending
from sslfast.run.directory import RunDirectory
from sslfast.run.inventory import read_inventory
from sslfast.weights import find_encoder

log = logging.getLogger(__name__)


def evaluate(
    kind: str,
    encoder: str | Path,
    data: str | Path,
    val: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    random_baseline: bool = True,
    architecture: str | None = None,
    partial: bool = False,
) -> Evaluation:
    """Evaluates an encoder and writes evaluation/<kind>-<data>-<...>.json into its run's directory.

    The name, `Evaluation.name`, holds all that the result depends on, so that no other is replaced. The result of
    another software's file lies beside that, the result of a library's weights in the current folder.

    Without `val`, the bare name of a data set with a test split is its training split against its test split; of
    other data a fixed part is held out. On the data that the run was pre-trained on it is the part
    that pre-training held out, since `limit` and `val_fraction` are then the run's unless overridden; the result
    states both, and says where the parts are the same. On other data they are "all" and 0.1.

    Args:
        kind: the protocol, a key of `sslfast.evaluation.PROTOCOLS`: "knn", "linear" or "finetune".
        encoder: which one, as `sslfast.load_encoder` takes it: a run's directory, a file of weights, a
            library's model.
        data: labelled images to train on, as `open_source` takes them.
        val: labelled images to test on; None: the test split of `data`, or a part of it.
        overrides: "key=value" settings of the protocol.
        random_baseline: evaluate the same architecture with the initial weights of the run's seed as well.
        architecture, partial: as `sslfast.load_encoder` takes them.

    Raises:
        UsageError: an unknown protocol or setting, no such encoder, data that cannot serve, or a result that
            cannot be written.
    """
    if kind not in PROTOCOLS:
        raise UsageError(f"evaluate {kind}: no such evaluation{nearest(kind, PROTOCOLS)}")
    data, val = str(data), None if val is None else str(val)
    protocol = PROTOCOLS[kind]
    options = validate(protocol.config, apply_overrides(protocol.config, {}, overrides), origin=f"evaluate {kind}")
    data, val = train_and_test(data, val, options)
    device = choose_device(options.device)
    found = find_encoder(encoder, device, architecture=architecture, partial=partial)
    of_run = None if found.recipe is None else found.recipe.data
    on_run_data = val is None and of_run is not None and is_same_source(data, of_run.source)
    if val is None:
        options = with_split(options, of_run if of_run is not None and on_run_data else DataConfig())
    own_split = (
        of_run is not None
        and on_run_data
        and (options.limit, options.val_fraction) == (of_run.limit, of_run.val_fraction)
    )
    folder = results_folder(found.file)
    inventory = read_inventory(RunDirectory(folder.parent).images) if own_split else None
    train_set, val_set = open_labeled(data, val, options, inventory)

    encoders = {"pre-trained": found.encoder}
    if random_baseline:
        encoders["random initialisation"] = found.untrained().to(device)
    plain, weights = TypeAdapter(protocol.config).dump_python(options, mode="json"), weights_digest(found.encoder)
    stem = folder / result_name(kind, weights, data, val, plain, list(encoders), step=found.step)
    rows = [
        {"encoder": name, **row}
        for name, candidate in encoders.items()
        for row in protocol.judge(
            candidate, train_set, val_set, found.data, options, with_ending(stem, f".{name.replace(' ', '_')}")
        )
    ]
    train_set, val_set = readable(train_set), readable(val_set)  # unreadable images are known by now
    assert val_set.labels is not None
    evaluation = Evaluation(
        kind=kind,
        checkpoint=found.name,
        data=data,
        val=val,
        options=plain,
        train_images=len(train_set),
        val_images=len(val_set),
        classes=len(train_set.classes),
        chance=np.bincount(val_set.labels).max().item() / len(val_set),
        rows=rows,
        own_split=own_split,
        step=found.step,
        weights=weights,
    )
    log.info("the result is in %s", evaluation.save(folder))
    return evaluation


def weights_digest(network: nn.Module) -> str:
    """A digest of a network's parameters and buffers, and of their names: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def results_folder(file: Path | None) -> Path:
    """The folder of an encoder's results: in its run's directory; of another file, beside it; of none, here."""
    folder = Path()
    if file is not None:
        folder = file if file.is_dir() else file.resolve().parent
        folder = folder.parent if folder.name == "checkpoints" else folder
    return folder / "evaluation"
