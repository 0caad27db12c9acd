"""Gradients of large batches in the memory of small ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sslfast.kernels.common import checks


def cached_backward(
    encoder: nn.Module, views: Sequence[Tensor], loss: Callable[..., Tensor], *, chunk_size: int
) -> Tensor:
    """Computes a loss of a whole batch and its gradients, with the encoder's graph of one chunk at a time.

    It is GradCache (Gao et al. 2021, section 3): the encoder runs over the chunks without a graph; the loss gives
    the gradients to the features of all; the encoder runs over each chunk again, with a graph, and takes them back
    to its parameters. That costs a second forward pass, and the features' memory. Unlike accumulated gradients it
    is exact for losses that compare the samples of a batch:

        loss = cached_backward(encoder, [view1, view2], NTXentLoss(temperature=0.5), chunk_size=64)
        optimizer.step()

    Dropout draws the same numbers in both passes. Batch norm normalizes each chunk alone, and moves its running
    statistics in both passes. A DistributedDataParallel encoder exchanges the gradients once, with the last chunk.

    Args:
        encoder: maps a chunk of a view, (b, ...), to features, (b, ...).
        views: tensors of any lengths, such as two views of the images; on the encoder's device, or on the CPU for
            an encoder that takes its input along.
        loss: gives a scalar of as many features as there are views, each of a whole batch; its own parameters,
            such as a temperature, receive their gradients, too.
        chunk_size: the number of samples that the encoder sees at a time.

    Returns:
        The loss, a scalar without a graph. The gradients are added to `.grad`, as by `backward`.

    Raises:
        ValueError: no views, an empty one, or a chunk_size below 1.
    """
    checks.check_whole_number("cached_backward", "chunk_size", chunk_size, least=1)
    if not views or any(len(view) == 0 for view in views):
        lengths = [len(view) for view in views]
        raise ValueError(f"cached_backward: expected views of at least one sample each, got {lengths}")
    chunks = [chunk for view in views for chunk in view.split(chunk_size)]
    states, parts = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state(chunk))
            parts.append(encoder(chunk))
    counts = [len(view.split(chunk_size)) for view in views]
    features, start = [], 0
    for count in counts:
        features.append(torch.cat(parts[start : start + count]).requires_grad_())
        start += count
    value = loss(*features)
    value.backward()
    after = _random_state(chunks[0])
    gradients = [part for rows in features for part in _gradient(rows).split(chunk_size)]
    for number, (chunk, state, gradient) in enumerate(zip(chunks, states, gradients, strict=True)):
        _set_random_state(chunk, state)
        with _without_exchange(encoder, number < len(chunks) - 1):
            encoder(chunk).backward(gradient)
    _set_random_state(chunks[0], after)
    return value.detach()


def _gradient(rows: Tensor) -> Tensor:
    """Returns the gradient to features; 0 where the loss does not look at them."""
    return torch.zeros_like(rows) if rows.grad is None else rows.grad


def _random_state(beside: Tensor) -> tuple[Tensor, Tensor | None]:
    """Returns the states of torch's generators of the CPU and of the tensor's GPU."""
    gpu = torch.cuda.get_rng_state(beside.device) if beside.is_cuda else None
    return torch.get_rng_state(), gpu


def _set_random_state(beside: Tensor, state: tuple[Tensor, Tensor | None]) -> None:
    cpu, gpu = state
    torch.set_rng_state(cpu)
    if gpu is not None:
        torch.cuda.set_rng_state(gpu, beside.device)


def _without_exchange(encoder: nn.Module, wanted: bool) -> contextlib.AbstractContextManager[None]:
    """Returns DistributedDataParallel's `no_sync`, where it is wanted and there."""
    no_sync = getattr(encoder, "no_sync", None)
    return no_sync() if wanted and no_sync is not None else contextlib.nullcontext()
