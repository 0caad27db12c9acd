"""Helpers of the functions that launch Triton kernels: the GPU's limits, exact matrix products, constants."""

import functools
import math

import torch
import triton.language as tl
from torch import Tensor
from triton import cdiv

LOG2_E = math.log2(math.e)
LOWEST = tl.constexpr(-3e38)  # below every logit; finite, so that a row of -inf gives 0 and not inf - inf
PART_TILES, MAX_WAVES = 4, 8  # see part_length
SHARED_MEMORY = 160 * 1024  # bytes; A100 has 163 KiB, Hopper and Blackwell have 227, GPUs for consumers 99


def processors(tensor: Tensor) -> int:
    """Counts the streaming multiprocessors of the tensor's GPU."""
    if tensor.is_cuda:
        return torch.cuda.get_device_properties(tensor.device).multi_processor_count
    return 4  # the interpreter: enough for parts to merge


def has_warpgroups(tensor: Tensor) -> bool:
    """Tells whether the GPU's matrix unit takes rows of four warps at a time: sm_90's and sm_100's."""
    return not tensor.is_cuda or torch.cuda.get_device_capability(tensor.device)[0] in (9, 10)


def has_tensor_memory(tensor: Tensor) -> bool:
    """Tells whether the GPU keeps products of matrices in tensor memory, a row a thread: sm_100."""
    return tensor.is_cuda and torch.cuda.get_device_capability(tensor.device)[0] == 10


def shared_memory(tensor: Tensor) -> int:
    """Returns the bytes of shared memory that a block of threads may use on the tensor's GPU."""
    if tensor.is_cuda:
        properties = torch.cuda.get_device_properties(tensor.device)
        return properties.shared_memory_per_block_optin  # type: ignore[attr-defined]  # torch's stub lacks it
    return 2**20  # the interpreter: no limit


def in_units(columns: int) -> tuple[int, int]:
    """Factors the columns of a row-major matrix as units * UNIT, for kernels whose UNIT is a constant.

    Then a multiple of 8 shows to the compiler, which knows of whole arguments only whether 16 divides them,
    and loads become 16 bytes wide.
    """
    return (columns // 8, 8) if columns % 8 == 0 else (columns, 1)


@functools.lru_cache(maxsize=1024)
def part_length(length: int, tile: int, rows: int, places: int) -> int:
    """Chooses how much of a length one program takes, in whole tiles, where each row goes through all of it.

    Programs run in waves, and the last wave should be full. Shorter parts make fuller waves; but each program also
    has to begin and to write its sums, which takes about as long as PART_TILES tiles.

    Args:
        length: what is cut into parts.
        tile: the part of it that a program takes at a time.
        rows: the programs that there are for each part.
        places: the programs that run at the same time.
    """
    tiles = cdiv(length, tile)

    def duration(tiles_a_part: int) -> int:
        return cdiv(cdiv(tiles, tiles_a_part) * rows, places) * (tiles_a_part + PART_TILES)

    parts = (max(1, wave * places // rows) for wave in range(1, MAX_WAVES + 1))
    return tile * min((max(1, cdiv(tiles, count)) for count in parts), key=duration)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiplies a @ b, accumulated and returned in fp32.

    Products of fp32 are torch's, and as exact: TF32's on a GPU under `torch.set_float32_matmul_precision("high")`.
    """
    with torch.autocast(a.device.type, enabled=False):
        if a.is_cuda and a.dtype != torch.float32:
            return torch.mm(a, b, out_dtype=torch.float32)
        return torch.mm(a.float(), b.float())


def add_matmul(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Adds the product a @ b to a total in fp32, in the product's own pass over memory.

    Products of fp32 are as exact as those of `matmul`.
    """
    with torch.autocast(a.device.type, enabled=False):
        if a.is_cuda and a.dtype != torch.float32:
            torch.addmm(total, a, b, out_dtype=torch.float32, out=total)
        else:
            total.addmm_(a.float(), b.float())
