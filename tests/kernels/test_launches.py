"""The Triton kernels compile ahead of time, for a GPU that need not be there: see launches/ for the ops.

What is compiled for one architecture stands for all; `make static` compiles for every one of them. The ops that
take longest are of `make test-long`.
"""

import pytest
import triton

from tests.kernels.compiled import assert_compiles
from tests.kernels.launches import launches

LAUNCHES = launches()
LONGEST = {"aligned_pooling", "in_batch_info_nce", "nearest_neighbor", "positives", "view_augment"}  # to compile
GRADIENT = "gradient_kernel {'BM': 64, 'BN': 64, 'BD': 128, 'WHOLE': True} labels=False maxnreg=168"
NAMES = [pytest.param(name, marks=[pytest.mark.long] if name in LONGEST else []) for name in LAUNCHES]


@pytest.mark.parametrize("name", NAMES)
def test_kernels_compile_ahead_of_time(name):
    LAUNCHES[name].compile(90)


@pytest.mark.parametrize(
    ("op", "launch", "change", "constants", "message"),
    [
        ("info_nce", "partial (4096, 65536, 128)", {"num_stages": 2}, {}, "its loop waits for every copy"),
        pytest.param(
            *("info_nce", "partial (4096, 65536, 128)", {"num_warps": 8}, {"BN": 128, "BK": 128}),
            "C7515.*serialized",
            marks=pytest.mark.skipif(not triton.__version__.startswith("3.6."), reason="newer: not serialized"),
        ),
        ("info_nce", "partial (4096, 65536, 128)", {"blocks": 9}, {}, "blocks on a processor, not 9"),
        ("info_nce", "tma (4096, 65536, 128)", {"num_warps": 8}, {}, "no warps of their own"),
        ("soft_cross_entropy", "forward_kernel 3000", {}, {"UNIT": 1}, "loads by bytes a thread"),
        ("sup_con", GRADIENT, {"powers": 31}, {}, "32 powers of two a thread and tile, not 31"),
    ],
    ids=[
        "two stages",
        "serialized products",
        "too few blocks",
        "not specialized",
        "narrow loads",
        "too many powers",
    ],
)
def test_a_worse_launch_is_reported(op, launch, change, constants, message):
    case = dict(LAUNCHES[op].cases(90))[launch]
    worse = case | change | {"constants": case["constants"] | constants}
    with pytest.raises(AssertionError, match=message):
        assert_compiles([(launch, worse)], streams="partial", specialized="tma", wide=LAUNCHES[op].wide)


def test_a_large_view_is_cropped_once():
    """By crop_kernel: what follows reads no levels of the image, which are bytes."""
    cases = dict(LAUNCHES["view_augment"].cases(90))
    names = "crop_kernel 224 True", "view_kernel 224 True", "column_kernel 224 True"
    loads = [used["loads"] for used in assert_compiles([(name, cases[name]) for name in names])]
    assert ["1" in widths for widths in loads] == [True, False, False]


def test_products_in_tf32_are_reported():
    """Triton's choice for fp32 where a kernel does not say otherwise: such rows are not given to these kernels."""
    launch = "partial (4096, 65536, 64)"
    case = dict(LAUNCHES["info_nce"].cases(90))[launch]
    in_fp32 = {name: kind.replace("bf16", "fp32") for name, kind in case["signature"].items()}
    with pytest.raises(AssertionError, match="products in TF32"):
        assert_compiles([(launch, case | {"signature": in_fp32})])
