"""What the processes of one run exchange, and how they are joined.

`from sslfast import distributed` has the collectives; joining is of `sslfast.distributed.launch`.
"""

from sslfast.distributed.collectives import (
    average_,
    broadcast_,
    gather,
    gather_uneven,
    largest,
    mean,
    own,
    rank,
    shuffle,
    unshuffle,
    world,
    world_size,
)

__all__ = [
    "average_",
    "broadcast_",
    "gather",
    "gather_uneven",
    "largest",
    "mean",
    "own",
    "rank",
    "shuffle",
    "unshuffle",
    "world",
    "world_size",
]
