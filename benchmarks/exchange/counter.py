"""A count of the bytes that a rank hands to collectives, at torch.distributed's functions."""

# No annotations as strings: DistributedDataParallel looks at those of its hook.
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import all_reduce
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

# By the function's name: the kind, and the number of the argument that is handed over.
FUNCTIONS = {
    "all_reduce": ("all_reduce", 0),
    "all_gather_into_tensor": ("all_gather", 1),
    "reduce_scatter_tensor": ("reduce_scatter", 1),
    "all_to_all_single": ("all_to_all", 1),
    "broadcast": ("broadcast", 0),
    "_broadcast_coalesced": ("buffers", 1),
}


@contextmanager
def counted(network: nn.Module) -> Iterator[Counter[str]]:
    """Counts the bytes that this rank hands to collectives until the block ends, by kind.

    `gradients` are the buckets of DistributedDataParallel, `buffers` those that it broadcasts before a forward
    pass. What it exchanges in C++ beside them, 4 bytes for each parameter tensor where it looks for unused ones,
    is not counted.

    Args:
        network: the DistributedDataParallel that the block steps with; it keeps the hook that counts, so that it
            is not to be timed. Other modules have no gradients to count.
    """
    handed: Counter[str] = Counter()

    def average(state: None, bucket: dist.GradBucket) -> Future[Tensor]:
        handed["gradients"] += bucket.buffer().nbytes
        work = all_reduce(bucket.buffer().div_(dist.get_world_size()), async_op=True)
        return work.get_future().then(lambda done: done.value()[0])

    def counting(name: str) -> Callable[..., Any]:
        (kind, number), function = FUNCTIONS[name], functions[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            given = args[number]
            handed[kind] += given.nbytes if isinstance(given, Tensor) else sum(tensor.nbytes for tensor in given)
            return function(*args, **kwargs)

        return call

    if isinstance(network, DistributedDataParallel):
        network.register_comm_hook(None, average)
    functions = {name: getattr(dist, name) for name in FUNCTIONS}
    try:
        for name in FUNCTIONS:
            setattr(dist, name, counting(name))
        yield handed
    finally:
        for name, function in functions.items():
            setattr(dist, name, function)
