"""The collectives by which the processes of one run exchange tensors; `sslfast.distributed.launch` joins them."""

from sslfast.distributed.collectives import (
    all_to_all,
    average_,
    broadcast_,
    gather,
    gather_uneven,
    largest,
    local_rows,
    mean,
    rank,
    shuffle,
    unshuffle,
    world,
    world_size,
)

__all__ = [
    "all_to_all",
    "average_",
    "broadcast_",
    "gather",
    "gather_uneven",
    "largest",
    "local_rows",
    "mean",
    "rank",
    "shuffle",
    "unshuffle",
    "world",
    "world_size",
]
