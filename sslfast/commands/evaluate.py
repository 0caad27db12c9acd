"""`sslfast evaluate`: an encoder is judged, beside the same one with random weights."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from sslfast.config.settings import apply_overrides, nearest, validate
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.evaluation import PROTOCOLS
from sslfast.evaluation.protocol import RunImages
from sslfast.evaluation.result import Evaluation, result_name
from sslfast.evaluation.training import with_ending
from sslfast.run.directory import RunDirectory
from sslfast.weights import find_encoder
from sslfast.weights.digest import weights_digest

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
        random_baseline: evaluate the same architecture with random weights, of the run's seed, as well.
        architecture, partial: as `sslfast.load_encoder` takes them.

    Raises:
        UsageError: an unknown protocol or setting, no such encoder, data that cannot serve, or a result that
            cannot be written.
    """
    if kind not in PROTOCOLS:
        raise UsageError(f"evaluate {kind}: no such evaluation{nearest(kind, PROTOCOLS)}")
    protocol = PROTOCOLS[kind]
    options = validate(protocol.config, apply_overrides(protocol.config, {}, overrides), origin=f"evaluate {kind}")
    device = choose_device(options.device)
    found = find_encoder(encoder, device, architecture=architecture, partial=partial)
    folder = results_folder(found.file)
    run = None
    if found.recipe is not None:
        run = RunImages(found.recipe.data, RunDirectory(folder.parent).images)
    images = protocol.open(str(data), None if val is None else str(val), options, run)

    encoders = {"pre-trained": found.encoder}
    if random_baseline:
        encoders["random initialisation"] = found.untrained().to(device)
    plain = TypeAdapter(protocol.config).dump_python(images.options, mode="json")
    weights = weights_digest(found.encoder)
    stem = folder / result_name(
        kind, weights, images.data, images.val_data, plain, list(encoders), step=found.step
    )
    rows = [
        {"encoder": name, **row}
        for name, candidate in encoders.items()
        for row in protocol.judge(
            candidate,
            images.train,
            images.val,
            found.data,
            images.options,
            with_ending(stem, f".{name.replace(' ', '_')}"),
        )
    ]
    counts = protocol.count(images.train, images.val)  # unreadable images are known by now
    evaluation = Evaluation(
        kind=kind,
        checkpoint=found.name,
        data=images.data,
        val=images.val_data,
        options=plain,
        **dataclasses.asdict(counts),
        rows=rows,
        own_split=images.own_split,
        step=found.step,
        weights=weights,
    )
    log.info("the result is in %s", evaluation.save(folder))
    return evaluation


def results_folder(file: Path | None) -> Path:
    """The folder of an encoder's results: in its run's directory; of another file, beside it; of none, here."""
    folder = Path()
    if file is not None:
        folder = file if file.is_dir() else file.resolve().parent
        folder = folder.parent if folder.name == "checkpoints" else folder
    return folder / "evaluation"
