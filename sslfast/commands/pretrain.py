"""`sslfast pretrain`: an encoder is pre-trained, and a run directory left."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from sslfast.config import Recipe
from sslfast.data import open_source
from sslfast.distributed import rank
from sslfast.distributed.launch import first_alone, joined
from sslfast.recipes.check import check
from sslfast.run.directory import RunDirectory
from sslfast.run.logs import log_to
from sslfast.train.interrupt import Interrupt
from sslfast.train.trainer import Trainer, log


def pretrain(recipe: Recipe, out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Pre-trains an encoder and leaves a run directory (see `sslfast.run`).

    Under torchrun its processes share the run.

    Args:
        recipe: what to run.
        out: the run's directory.
        resume: go on from the directory's latest checkpoint, if it has one.
        overwrite: replace the run in the directory.

    Raises:
        UsageError: settings or data that cannot work, found before training.
        TrainingError: training cannot go on; the latest checkpoint is good.
        SystemExit: 143 (130 after SIGINT) once a signal's checkpoint is saved.
    """
    run = RunDirectory(out)
    with joined():
        check(recipe)
        if rank() == 0:
            run.check(recipe, resume=resume, overwrite=overwrite)
        data = recipe.data
        with first_alone():  # it may download or unpack
            source = open_source(data.source, limit=data.limit, max_bad=data.max_bad, on_error=data.on_error)
        trainer = Trainer(recipe, run, source)
        if resume:
            trainer.resume()
        if rank() == 0:
            run.start(recipe, resume=resume)  # not before it is known that the run can be
        recorded = log_to(run.log) if rank() == 0 else nullcontext()
        with recorded, logging_redirect_tqdm(), Interrupt() as interrupt:
            trainer.fit(interrupt)
            stopped = interrupt.received if trainer.step < trainer.total_steps else None
            if stopped:
                log.info("%s: saved at step %d; go on with --resume", stopped.name, trainer.step)
    if stopped:
        raise SystemExit(interrupt.exit_code)
