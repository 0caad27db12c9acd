"""The helpers of launches: parts of whole waves, and columns as multiples."""

import math

import pytest
import torch

launch = pytest.importorskip("sslfast.kernels.common.launch")
PLACES = 132


@pytest.mark.parametrize("rows", [1, 4, 31, 68, 132, 133, 136, 200, 313])
def test_parts_fill_their_waves(rows):
    """The tiles that one place takes are at most a fifth more than its share."""
    tiles = 1024
    tiles_a_part = launch.part_length(tiles * 64, 64, rows, PLACES) // 64
    programs = rows * math.ceil(tiles / tiles_a_part)
    assert math.ceil(programs / PLACES) * tiles_a_part <= 1.2 * rows * tiles / PLACES


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 100_000])
def test_parts_are_whole_tiles(length):
    part = launch.part_length(length, 64, 3, PLACES)
    assert part % 64 == 0
    assert part > 0


@pytest.mark.parametrize(("columns", "expected"), [(8, (1, 8)), (3000, (375, 8)), (4096, (512, 8)), (30, (30, 1))])
def test_columns_in_units(columns, expected):
    assert launch.in_units(columns) == expected


def test_a_product_is_added_in_fp32():
    a, b = torch.randn(3, 40).half(), torch.randn(40, 5).half()
    start = torch.randn(3, 5)
    total = start.clone()
    launch.add_matmul(total, a, b)
    assert torch.equal(total, start.addmm(a.float(), b.float()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_a_product_is_added_in_fp32_on_a_gpu(dtype):
    a, b = (torch.randn(shape, dtype=dtype, device="cuda") for shape in ((64, 256), (256, 32)))
    total = torch.randn(64, 32, device="cuda")
    expected = total.double() + a.double() @ b.double()
    launch.add_matmul(total, a, b)
    torch.testing.assert_close(total.double(), expected, rtol=1e-5, atol=1e-4)
