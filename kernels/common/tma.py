"""What the kernels of impl="triton_tma" need from their launches.

The tensor memory accelerator (TMA) of sm_90 and up copies whole tiles, given a descriptor: where a matrix is, its
shape, and that of a tile. A kernel whose loop over tiles Triton specializes has warps that do nothing but ask for
tiles, while others multiply those that have come. On Hopper these are two groups of four, with half of the rows
each, where a launch asks for 4 warps; with more, Triton 3.6 specializes nothing, and says nothing. On Blackwell,
where sums are in tensor memory, they are as many as a launch asks for.

Such a kernel makes its descriptors itself: of tiles by the host's descriptors, Triton 3.6 cannot give each group
of warps a part. It keeps them in memory from an allocator, which Triton has for whatever runs in the same context.
"""

import contextvars
from collections.abc import Callable
from typing import Any

import torch
import triton
from torch import Tensor

MAX_D = 256  # wider rows leave no room in shared memory for the next tile


def is_hopper(tensor: Tensor) -> bool:
    """Tells whether the tensor's GPU is of compute capability 9.x, not 10.x."""
    return not tensor.is_cuda or torch.cuda.get_device_capability(tensor.device)[0] == 9


def check_width(op: str, d: int) -> None:
    """Raises RuntimeError where rows of D columns, of two bytes each, cannot be copied by TMA as a whole."""
    if d % 8 or d > MAX_D:
        raise RuntimeError(
            f"{op}: impl='triton_tma' is not available: it takes rows of D columns where D is a multiple of 8 and "
            f"at most {MAX_D}, got D = {d}; use impl='triton'"
        )


def aligned(matrix: Tensor) -> Tensor:
    """Returns the contiguous matrix, or a copy of it where its address is no multiple of 16, as TMA needs it."""
    return matrix.clone() if matrix.data_ptr() % 16 else matrix


def launch(kernel: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Launches a kernel that makes descriptors: `kernel[grid](*args, **options)`, given as `kernel[grid]`.

    It runs in a copy of the context: the allocator of other Triton kernels stays what it is.
    """
    contextvars.copy_context().run(_launch, kernel, args, options)


def _launch(kernel: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> None:
    triton.set_allocator(_allocate)
    kernel(*args, **options)


def _allocate(size: int, alignment: int, stream: int | None) -> Tensor:
    """Allocates memory on the current device, free for others after its users, which run on the current stream."""
    return torch.empty(size, dtype=torch.int8, device="cuda")
