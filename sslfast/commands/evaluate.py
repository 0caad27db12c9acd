"""`sslfast evaluate`: an encoder is judged, beside the same one with random weights, and a supervised one."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sslfast.config.paths import is_path, user_path
from sslfast.config.settings import Overrides, apply_overrides
from sslfast.config.validation import validate
from sslfast.data.sources.form import check_rgb
from sslfast.data.sources.names import Names, joined, one_or_list
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.evaluation.help import HELP
from sslfast.evaluation.judgement import UNFINISHED, Candidate, alone, judgements, settle
from sslfast.evaluation.name import result_name, with_ending
from sslfast.evaluation.options import ClassificationConfig
from sslfast.evaluation.protocol import RunImages
from sslfast.evaluation.protocols import PROTOCOLS
from sslfast.evaluation.result import Evaluation
from sslfast.hints import nearest
from sslfast.run.directory import RunDirectory
from sslfast.run.environment import device_name, source_commit, versions
from sslfast.weights import find_encoder
from sslfast.weights.digest import weights_digest

log = logging.getLogger(__name__)

RANDOM = "random initialization"
LISTS = ("classes", "labels")  # settings that may name a file


def evaluate(
    kind: str,
    encoder: str | Path,
    data: Names,
    val: Names | None = None,
    overrides: Overrides = (),
    *,
    random_baseline: bool = True,
    supervised: str | Path | None = None,
    architecture: str | None = None,
    partial: bool = False,
    command: str | None = None,
) -> Evaluation:
    """Evaluates an encoder and writes evaluation/<kind>-<data>-<...>.json into its run's directory.

    The name, `Evaluation.name`, holds all that the result depends on, so that no other is replaced. The result of
    another software's file lies beside that, the result of a library's weights in the current folder.

    Without `val`, the bare name of a data set with a test split is its training split against its test split; of
    other data a fixed part is held out. On the data that the run was pre-trained on it is the part
    that pre-training held out, since `classes`, `limit` and `val_fraction` are then the run's unless overridden;
    the result states them, and says where the parts are the same. On other data they are "all", "all" and 0.1.

    Args:
        kind: the protocol, "knn", "linear", "finetune", "segment" or "detect".
        encoder: which one, as `sslfast.load_encoder` takes it: a run's directory, a file of weights, a
            library's model.
        data: labeled images to train on, as `open_source` takes them; of several sources a list;
            of "segment" images with masks, as `sslfast.data.masks.open_masked` does; of "detect" images with
            objects, as `sslfast.data.annotations.open_annotated` does.
        val: labeled images to test on; None: the test split of `data`, or a part of it.
        overrides: settings of the protocol, "key=value" or a mapping.
        random_baseline: evaluate the same architecture with random weights, of the run's seed, as well, and of the
            seeds after it for other seeds of the evaluation.
        supervised: another encoder to judge beside it, named likewise, which was trained with labels.
        architecture, partial: as `sslfast.load_encoder` takes them, for `encoder`.
        command: the command line that asks for it, for the record.

    Raises:
        UsageError: an unknown protocol or setting, no such encoder, data that cannot serve, or a result that
            cannot be written.
    """
    if kind not in PROTOCOLS:
        raise UsageError(f"evaluate {kind}: no such evaluation{nearest(kind, PROTOCOLS)}")
    protocol = PROTOCOLS[kind]
    values = apply_overrides(protocol.config, {}, overrides)
    options = validate(protocol.config, values, f"evaluate {kind}", f"{HELP} {kind}")
    if val is not None and options.val_fraction is not None:
        raise UsageError(
            f"--val {joined(val)} and val_fraction={options.val_fraction:g} both say which images are tested; "
            "give one"
        )
    device = choose_device(options.device)
    found = find_encoder(encoder, device, architecture=architecture, partial=partial)
    if found.data.range is not None and not isinstance(options, ClassificationConfig):
        log.warning(
            "evaluate %s: gray images of more than 8 bits are read by all their bits, not by data.range=[%g, %g] "
            "of %s",
            *(kind, *found.data.range, encoder),
        )
    beside = None if supervised is None else find_encoder(supervised, device)
    if not isinstance(options, ClassificationConfig):  # which reads its images by other ways
        for judged in [found, *([] if beside is None else [beside])]:
            instead = f"judge {judged.name} by knn, linear or finetune"
            check_rgb(judged.data, f"evaluate {kind}", instead, of_8_bits=True)
    folder = results_folder(found.file)
    run = None
    if found.recipe is not None:
        run = RunImages(found.recipe.data, RunDirectory(folder.parent).images)
    images = protocol.open(one_or_list(data), None if val is None else one_or_list(val), options, run)

    candidates = [Candidate("pre-trained", lambda _: found.encoder, found.data)]
    if random_baseline:
        candidates.append(Candidate(RANDOM, lambda n: found.untrained(n).to(device), found.data))
    if beside is not None:
        candidates.append(Candidate("supervised", lambda _: beside.encoder, beside.data))
    plain = TypeAdapter(protocol.config).dump_python(images.options, mode="json")
    lists = digests_of_lists(plain)
    weights = weights_digest(found.encoder)
    supervised_weights = None if beside is None else weights_digest(beside.encoder)
    stem = folder / result_name(
        kind,
        weights,
        images.data,
        images.val_data,
        plain,
        [candidate.name for candidate in candidates],
        step=found.step,
        supervised=supervised_weights,
        lists=lists,
    )
    with alone(stem):
        unfinished = with_ending(stem, UNFINISHED)
        made = judgements(protocol, candidates, images, unfinished)
        evaluation = Evaluation(
            kind=kind,
            checkpoint=found.name,
            data=images.data,
            val=images.val_data,
            options=plain,
            **dataclasses.asdict(made[0].counts),
            rows=[row for judgement in made for row in judgement.rows],
            own_split=images.own_split,
            step=found.step,
            weights=weights,
            supervised=None if beside is None else beside.name,
            supervised_weights=supervised_weights,
            lists=lists,
            versions=versions(),
            device=device_name(device),
            commit=source_commit(),
            command=command,
            seconds=round(sum(judgement.seconds for judgement in made), 1),
        )
        path = evaluation.save(folder)
        settle(unfinished, path)
    log.info("the result is in %s", path)
    return evaluation


def digests_of_lists(options: Mapping[str, Any]) -> dict[str, str]:
    """Digests the files that settings name, whose content a result depends on, by the settings' names."""
    files = {key: user_path(options[key]) for key in LISTS if options.get(key) and is_path(options[key])}
    return {
        key: hashlib.sha256(file.read_bytes()).hexdigest()[:8] for key, file in files.items() if file.is_file()
    }


def results_folder(file: Path | None) -> Path:
    """Names the folder of an encoder's results: in its run's directory; beside another file; of none, here."""
    folder = Path()
    if file is not None:
        folder = file if file.is_dir() else file.resolve().parent
        folder = folder.parent if folder.name == "checkpoints" else folder
    return folder / "evaluation"
