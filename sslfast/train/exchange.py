"""The exchange of gradients between the processes of a run: PyTorch's own, which overlaps the backward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from sslfast.config import Recipe, TrainConfig
from sslfast.distributed import broadcast_, world_size
from sslfast.encoders import Encoder
from sslfast.methods import Method

if TYPE_CHECKING:
    from sslfast.train.sharding import Shards


def exchanged(method: Method) -> nn.Module:
    """Wraps a method whose loss is called on every rank: its gradients become their means over the ranks.

    DistributedDataParallel sends a bucket of gradients as soon as the backward pass has made them. A network may
    rest in some epochs, such as frozen prototypes: so it looks for `unused` parameters in every step. That also
    keeps its first buckets. It would else deal the parameters out anew after the first step of each process, and
    sums over more than two ranks would have another order in a run that was resumed. Where none rests, torch says
    so in the first step, from C++, where no filter of Python's takes the warning.

    Returns:
        What is called in place of the method: itself, where there is one process.
    """
    if world_size() == 1:
        return method
    return DistributedDataParallel(
        method, broadcast_buffers=False, find_unused_parameters=True, gradient_as_bucket_view=True
    )


class Replicas:
    """A method whose parameters are whole on every rank, and how a step goes with them.

    Args:
        method: on its device.

    Attributes:
        loss: what is called for the loss of a batch.
    """

    def __init__(self, method: Method) -> None:
        self.method, self.loss = method, exchanged(method)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yields the parameters of the method as the optimizer has them, by name."""
        return self.method.named_parameters()

    def local(self, tensors: Iterable[Tensor]) -> list[Tensor]:
        """Returns the tensors that stand for some of the method's where the optimizer works."""
        return list(tensors)

    def kept_apart(self) -> AbstractContextManager[None]:
        """Returns the context of a backward pass whose gradients may wait for those of a later one."""
        return self.loss.no_sync() if isinstance(self.loss, DistributedDataParallel) else nullcontext()

    def take_gradients(self) -> None:
        """Gives the optimizer's parameters the gradients of the backward passes, means over the ranks."""

    def total_norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """Computes the norm of all gradients, of the optimizer's parameters, as one; the same on every rank."""
        return get_total_norm(gradients)

    def agree(self) -> None:
        """Gives all ranks the weights and buffers of rank 0, after what each has computed on its own."""
        broadcast_([*self.method.parameters(), *self.method.buffers()])

    def encoder(self, recipe: Recipe) -> Encoder:
        """Returns the method's encoder with whole weights: itself or, of shards, a copy."""
        return self.method.encoder

    def state_dicts(self, optimizer: Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the state dicts of method and optimizer, of whole tensors; of shards on rank 0 alone."""
        return self.method.state_dict(), optimizer.state_dict()

    def load_state_dicts(
        self, of_method: dict[str, Any], optimizer: Optimizer, of_optimizer: dict[str, Any]
    ) -> None:
        """Goes on from such state dicts, which all ranks have, and may be of any number of them."""
        self.method.load_state_dict(of_method)
        optimizer.load_state_dict(of_optimizer)

    def parameters_of(self, optimizer: Optimizer) -> list[Any]:
        """Lists the whole parameters of an optimizer, in its order."""
        return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def weights_over_ranks(method: Method, config: TrainConfig) -> Replicas | Shards:
    """Deals a method's weights out over the ranks as `train.parallel` asks; one process has all of them."""
    if config.parallel == "ddp" or world_size() == 1:
        return Replicas(method)
    from sslfast.train.sharding import Shards  # what it imports takes long

    return Shards(method)
