"""The judgement of encoders by a protocol, with one seed or several; it goes on where it was interrupted."""

from __future__ import annotations

import dataclasses
import glob
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from sslfast.config import DataConfig
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.evaluation.name import with_ending
from sslfast.evaluation.protocol import Counts, Protocol, Row, TrainVal
from sslfast.locks import Held, held
from sslfast.run.atomic import atomic_write

log = logging.getLogger(__name__)

FINISHED = ".finished"  # the end of the name of a file with the judgement of a seed, until all are made
UNFINISHED = ".part"  # follows a result's name in those of its files until it is written
SEEDS = 2**63  # that there are


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An encoder to judge.

    Attributes:
        name: what a result's row calls it.
        encoder: n -> the encoder for the n-th seed, on the device, in evaluation mode.
        data: `size`, `mean` and `std` of its input.
    """

    name: str
    encoder: Callable[[int], Encoder]
    data: DataConfig


@dataclass(frozen=True)
class Judgement:
    """The judgement of an encoder with a seed.

    Attributes:
        rows: of the result's table.
        found: the numbers of the images as they were opened.
        counts: those of the images that could be read.
        seconds: the time it took.
    """

    rows: list[Row]
    found: Counts
    counts: Counts
    seconds: float


def judgements(
    protocol: Protocol[Any], candidates: Iterable[Candidate], images: TrainVal[Any], stem: Path
) -> list[Judgement]:
    """Makes the judgements of candidates, each with the seeds `options.seed`, `options.seed` + 1, ...

    Each is kept in a file of its own when it is made, and is not made again when it is asked for again, unless the
    numbers of images differ by then.

    Args:
        protocol: how they are judged.
        candidates: the encoders.
        images: as the protocol opened them.
        stem: how the names of files begin that belong to the result.

    Raises:
        UsageError: what the protocol raises; or such a file is damaged.
    """
    made, options = [], images.options
    found = protocol.count(images.train, images.val)
    for candidate in candidates:
        for n in range(options.seeds):
            seed = (options.seed + n) % SEEDS
            ending = f".{candidate.name.replace(' ', '_')}" + (f".seed{seed}" if options.seeds > 1 else "")
            own = with_ending(stem, ending)
            file = with_ending(own, FINISHED)
            before = _read(file) if file.exists() else None
            if before is None or before.found != found:
                start = time.perf_counter()
                options_of_seed = dataclasses.replace(options, seed=seed)
                rows = protocol.judge(
                    candidate.encoder(n), images.train, images.val, candidate.data, options_of_seed, own
                )
                rows = [{"encoder": candidate.name, "seed": seed, **row} for row in rows]
                counts = protocol.count(images.train, images.val)  # unreadable images are known by now
                before = Judgement(rows, found, counts, time.perf_counter() - start)
                _write(before, file)
            made.append(before)
    return made


@contextmanager
def alone(stem: Path) -> Iterator[None]:
    """Keeps other processes from the same evaluation until the block ends.

    Args:
        stem: how the names of files begin that belong to the result; its folder is made where it is missing.

    Raises:
        UsageError: another process makes it, or the folder cannot be written to.
    """
    with ExitStack() as stack:
        try:
            stem.parent.mkdir(parents=True, exist_ok=True)
            stack.callback(_remove_if_empty, stem.parent)  # once the lock is gone, where nothing else is left
            stack.enter_context(held(with_ending(stem, ".lock"), needed=False))
        except Held as error:
            raise UsageError(f"{stem}: another process makes this evaluation; wait for its end") from error
        except OSError as error:
            raise UsageError(f"{stem.parent}: cannot write the evaluation: {error.strerror or error}") from error
        yield


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def settle(stem: Path, result: Path) -> None:
    """Names the files that `judgements` of this stem left for the result that is written, and removes the rest."""
    left = sorted(stem.parent.glob(f"{glob.escape(stem.name)}.*"))
    needed_no_more = [file for file in left if file.name.endswith((FINISHED, ".tmp"))]
    for file in left:
        if file not in needed_no_more:
            file.replace(result.with_name(result.stem + file.name.removeprefix(stem.name)))
    for file in needed_no_more:
        file.unlink()


def _read(file: Path) -> Judgement:
    try:
        judgement: Judgement = TypeAdapter(Judgement).validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise UsageError(f"{file}: cannot be read as what an evaluation left; remove it") from error
    log.info("%s: judged before an interruption", file)
    return judgement


def _write(judgement: Judgement, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(file) as opened:
            opened.write(json.dumps(dataclasses.asdict(judgement)).encode())
    except OSError as error:
        raise UsageError(f"{file}: cannot write the evaluation: {error.strerror or error}") from error
