"""What a recipe is refused for before anything is read or written; the methods' own checks need the images."""

from __future__ import annotations

from sslfast.config import Config
from sslfast.data.batch import rows_of_rank
from sslfast.distributed import rank, world_size
from sslfast.encoders import check_side
from sslfast.errors import UsageError
from sslfast.methods import METHODS


def check(config: Config) -> None:
    """Raises UsageError for settings that cannot work."""
    views = METHODS[config.method.name].views
    if views is not None and len(config.data.views) != views:
        raise UsageError(
            f"data.views: expected the {views} views of {config.method.name}, got {len(config.data.views)}"
        )
    if config.optim.warmup_epochs >= config.train.epochs:
        raise UsageError(
            f"optim.warmup_epochs={config.optim.warmup_epochs:g}: expected fewer than "
            f"train.epochs={config.train.epochs}; for so short a training set optim.warmup_epochs=0"
        )
    processes = world_size()
    own = len(rows_of_rank(config.data.batch_size, rank(), processes))
    if own == 1:
        raise UsageError(
            f"data.batch_size={config.data.batch_size}: expected at least {2 * processes}, for batch normalisation"
        )
    splits = config.encoder.norm_splits
    if config.encoder.norm == "split" and (config.data.batch_size % splits or config.data.batch_size < 2 * splits):
        raise UsageError(
            f"data.batch_size={config.data.batch_size}: expected a multiple of encoder.norm_splits={splits}, "
            "at least twice that, for batch normalisation"
        )
    if config.encoder.norm == "split" and config.encoder.norm_splits % processes:
        raise UsageError(
            f"encoder.norm_splits={config.encoder.norm_splits}: expected a multiple of the {processes} processes"
        )
    check_sides(config)


def check_sides(config: Config) -> None:
    """Refuses views that the method cannot cut, and images, whole or cut, that are too small for the encoder.

    Raises:
        UsageError: they are.
    """
    whole = {config.data.size, *config.data.sizes}
    for side in sorted({config.data.size, *METHODS[config.method.name].sides(config)}):
        try:
            check_side(config.encoder, side)
        except UsageError as error:
            if side in whole:
                raise
            raise UsageError(f"{config.method.name}, patches: {error}") from error
