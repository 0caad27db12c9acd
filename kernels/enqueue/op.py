"""New keys in place of the oldest ones of a queue, at a position that only the device knows."""

import torch
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.op import LIBRARY, MISSING, Impl, Op
from sslfast.kernels.enqueue import reference

OP = Op(
    "enqueue_",
    "(Tensor(a!) queue, Tensor keys, Tensor(b!) pointer, Tensor? skip) -> ()",
    impls=("cpp", "triton"),
    dtypes=(torch.float32, torch.float16, torch.bfloat16, torch.float64),
)
for compiled in OP.impls:  # no derivative: a queue belongs to no graph, whatever its keys require
    LIBRARY.impl(f"{OP.name}.{compiled}", torch.library.fallthrough_kernel, "Autograd")


def enqueue_(
    queue: Tensor, keys: Tensor, pointer: Tensor, *, skip: Tensor | None = None, impl: Impl = "auto"
) -> None:
    """Puts keys into a queue in place of the oldest ones, first in first out, as MoCo does (He et al. 2020).

    In place, as PyTorch:

        if not skip:
            rows = (pointer + torch.arange(N)) % K
            queue[rows] = keys.to(queue.dtype)
            pointer.copy_((pointer + N) % K)

    but without asking the device where the pointer stands: a CUDA graph can replay it. "triton" is one launch.
    There is no derivative.

    Args:
        queue: (K, D) of any floating dtype; not expanded.
        keys: (N, D) with N <= K, of any floating dtype; on the queue's device.
        pointer: 0-d int64, the row that the next key takes, modulo K; with the queue. It leaves in [0, K). No row
            outside of the queue is ever written; but "triton" keeps count only from -2^39 to 2^39.
        skip: 0-d bool, with the queue; where true, nothing changes.
        impl: "auto", "reference", "cpp" (CPU) or "triton" (CUDA).

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: shapes, strides, dtypes or devices that do not fit.
        RuntimeError: an explicit `impl` that is not available.
    """
    checks.check_tensors("enqueue_", queue=queue, keys=keys, pointer=pointer)
    _check(queue, keys, pointer, skip)
    chosen = OP.choose(impl, queue.device, queue.dtype)
    if chosen == "reference":
        reference.enqueue_(queue, keys, pointer, skip)
        return
    OP.call(chosen, queue, keys, pointer, skip)
    if not torch.compiler.is_compiling():
        torch._C._increment_version([queue, pointer])  # torch.autograd.graph's, without its call in Python


def _check(queue: Tensor, keys: Tensor, pointer: Tensor, skip: Tensor | None) -> None:
    if queue.ndim != 2:
        raise ValueError(f"enqueue_: expected queue of shape (K, D), got {tuple(queue.shape)}")
    k, d = queue.shape
    if keys.ndim != 2 or keys.shape[1] != d or keys.shape[0] > k:
        raise ValueError(f"enqueue_: expected keys of shape (N <= {k}, {d}), got {tuple(keys.shape)}")
    for name, tensor, dtype in (("pointer", pointer, torch.int64), ("skip", skip, torch.bool)):
        if tensor is not None and (tensor.ndim != 0 or tensor.dtype != dtype):
            raise ValueError(
                f"enqueue_: expected {name} of shape (), {dtype}, got {tuple(tensor.shape)}, {tensor.dtype}"
            )
    for name, tensor in (("keys", keys), ("pointer", pointer), ("skip", skip)):
        if tensor is not None and tensor.device != queue.device:
            raise ValueError(f"enqueue_: expected {name} on {queue.device} to match queue, got {tensor.device}")
    for name, tensor in (("queue", queue), ("keys", keys)):
        if tensor.dtype not in OP.dtypes:
            expected = ", ".join(map(str, OP.dtypes))
            raise ValueError(f"enqueue_: expected {name} of dtype {expected}, got {tensor.dtype}")
    checks.check_written("enqueue_", "queue", queue)


@OP.fake
def _(queue: Tensor, keys: Tensor, pointer: Tensor, skip: Tensor | None) -> None:
    pass


if MISSING["triton"] is None:
    from sslfast.kernels.enqueue import triton_kernels

    OP.triton(triton_kernels.enqueue_)
