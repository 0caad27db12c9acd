"""The helpers of launches: parts of whole waves, and columns as multiples."""

import math

import pytest

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
