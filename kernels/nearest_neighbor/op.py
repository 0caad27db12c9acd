"""Nearest-neighbor lookup by cosine similarity, as in NNCLR, without the N x K matrix of similarities."""

from numbers import Integral

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.autocast import autocast
from sslfast.kernels.common.debug import check_unit_rows
from sslfast.kernels.common.op import MISSING, Impl, Op
from sslfast.kernels.nearest_neighbor import reference

MAX_K = 8

OP = Op(
    "nearest_neighbor",
    "(Tensor query, Tensor queue, int k, bool normalized) -> (Tensor indices, Tensor similarity)",
    impls=("cpp", "triton", "triton_tma"),
    explicit=("triton_tma",),
)


def nearest_neighbor(
    query: Tensor, queue: Tensor, *, k: int = 1, normalized: bool = False, impl: Impl = "auto"
) -> tuple[Tensor, Tensor]:
    """Finds the rows of a queue most similar to each query, as NNCLR looks up its positives.

    The lookup is Dwibedi et al.'s (2021, equation 2), generalized to the k nearest:

        similarity = F.normalize(query, dim=1) @ F.normalize(queue, dim=1).T  # (N, K)
        indices = similarity.sort(dim=1, descending=True, stable=True).indices[:, :k]
        return indices, similarity.gather(1, indices)

    Neither input need be normalized: lengths from 1e-15 to 1e15 are divided out in fp32. Among equals the lowest
    index comes first. Products are accumulated in fp32: rows whose similarities differ by its rounding count as
    equally good.

    A queue whose rows were normalized when they were enqueued, as NNCLR's are, need not be read for its lengths at
    every lookup: `normalized` takes it as it is, similarity = F.normalize(query, dim=1) @ queue.T.

    A row of zeros has similarity 0 to everything. A queue row that contains NaN or infinity is found only where no
    other row is left, with similarity NaN; the outcome of infinity with `normalized` is undefined. A query that
    contains NaN or infinity finds rows 0 to k - 1, with similarity NaN. These choices are ours.

    No gradient passes: NNCLR has none through its lookup.

    Args:
        query: (N, D), fp32, fp16, bf16, or fp64 (reference only). Under autocast the inputs are cast as for a
            matmul.
        queue: (K, D), K > 0; same dtype as query.
        k: how many rows to find for each query, 1 to 8 and at most K.
        normalized: whether the queue's rows are known to be of length 1 or 0. Only `kernels.debug()` looks.
        impl: "auto", "reference", "cpp" (CPU), "triton" (CUDA), or "triton_tma": a form of "triton" in which warps
            of their own copy tiles by TMA, for k = 1, fp16 and bf16, D up to 256 and a multiple of 8, on GPUs of
            compute capability 9.x and 10.x. No GPU has run it yet, and "auto" does not choose it.

    Returns:
        The indices in the queue, int64, and the cosine similarities, fp32 (fp64 for fp64 inputs): both (N,), or
        (N, k) by falling similarity where k > 1.

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, dtypes or devices that do not fit; an empty queue; a k out of range.
        RuntimeError: an explicit `impl` that is not available.
    """
    checks.check_tensors("nearest_neighbor", query=query, queue=queue)
    query, queue = autocast(query.detach(), queue.detach())
    _check(query, queue, k)
    if normalized:
        check_unit_rows("nearest_neighbor", queue=queue)
    chosen = OP.choose(impl, query.device, query.dtype)
    if chosen == "reference":
        indices, similarity = reference.nearest_neighbor(query, queue, k, normalized)
    else:
        indices, similarity = OP.call(chosen, query, queue, k, normalized)
    return (indices.squeeze(1), similarity.squeeze(1)) if k == 1 else (indices, similarity)


def _check(query: Tensor, queue: Tensor, k: int) -> None:
    if query.ndim != 2 or query.shape[1] == 0:
        raise ValueError(f"nearest_neighbor: expected query of shape (N, D) with D > 0, got {tuple(query.shape)}")
    if queue.ndim != 2 or queue.shape[1] != query.shape[1]:
        raise ValueError(
            f"nearest_neighbor: expected queue of shape (K, {query.shape[1]}) to match query, "
            f"got {tuple(queue.shape)}"
        )
    if len(queue) == 0:
        raise ValueError("nearest_neighbor: expected a queue of at least one row, got an empty one")
    checks.check_alike("nearest_neighbor", "query", query=query, queue=queue)
    if not isinstance(k, Integral) or not 1 <= k <= MAX_K:
        raise ValueError(f"nearest_neighbor: expected k from 1 to {MAX_K}, got {k!r}")
    if k > len(queue):
        raise ValueError(f"nearest_neighbor: expected k of at most the queue's {len(queue)} rows, got {k}")


@OP.fake
def _(query: Tensor, queue: Tensor, k: int, normalized: bool) -> tuple[Tensor, Tensor]:
    shape = (len(query), k)
    return query.new_empty(shape, dtype=torch.int64), query.new_empty(shape, dtype=torch.float32)


if MISSING["triton"] is None:
    from sslfast.kernels.nearest_neighbor import triton_kernels

    OP.triton(triton_kernels.nearest_neighbor)
    OP.triton(triton_kernels.nearest_neighbor_tma, "triton_tma")
