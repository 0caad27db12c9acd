"""`sslfast.evaluate`: an encoder is judged, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from sslfast.commands.evaluate import evaluate as evaluate_named
from sslfast.config.settings import Overrides, settings_of
from sslfast.data.sources.given import Data, named_data
from sslfast.encoders.given import named_module
from sslfast.evaluation.result import Evaluation


def evaluate(
    kind: str,
    encoder: str | Path,
    data: Data,
    val: Data | None = None,
    overrides: Overrides = (),
    *,
    random_baseline: bool = True,
    supervised: str | Path | None = None,
    architecture: str | nn.Module | None = None,
    partial: bool = False,
    **settings: Any,
) -> Evaluation:
    """Evaluates an encoder as the command `sslfast evaluate` does, and returns the result, which it writes, too.

        evaluation = sslfast.evaluate("knn", "runs/photos", data="photographs/", k=20)
        print(evaluation.table())

    Args:
        kind: the protocol, "knn", "linear", "finetune", "segment" or "detect".
        encoder: which one, as `sslfast.load_encoder` takes it.
        data: labeled images to train on, as `sslfast.pretrain` takes them; for "segment" and "detect" names only.
        val: labeled images to test on; None: the test split of `data`, or a part of it.
        overrides: settings of the protocol as the command line has them: ["k=20"].
        random_baseline: evaluate the same architecture with random weights as well.
        supervised: another encoder to judge beside it, named likewise, which was trained with labels.
        architecture, partial: as `sslfast.load_encoder` takes them, for `encoder`.
        **settings: further settings of the protocol: k=20.

    Raises:
        UsageError: an unknown protocol or setting, no such encoder, data that cannot serve, or a result that
            cannot be written.
    """
    with named_data(data) as names, named_data(val) as val_names, named_module(architecture) as network:
        return evaluate_named(
            kind,
            encoder,
            names,
            val_names,
            [*settings_of(overrides), *settings_of(settings)],
            random_baseline=random_baseline,
            supervised=supervised,
            architecture=network,
            partial=partial,
        )
