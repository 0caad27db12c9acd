import pytest

from tests.kernels.launches import Launches


def cases(arch):
    """Yields every way the Triton kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_kernels = pytest.importorskip("sslfast.kernels.sinkhorn_knopp.triton_kernels")
    in_units = triton_kernels.in_units
    fp32 = dict.fromkeys(("p_top", "p_sum", "p_t", "p_f", "p_rows", "p_codes"), "*fp32")
    numbers = dict.fromkeys(("B", "units", "part_rows", "parts"), "i32") | {"scale": "fp32"}

    def case(name, kernel, dtype, constants, num_warps, blocks=1, maxnreg=None):
        return name, {
            "kernel": f"sslfast.kernels.sinkhorn_knopp.triton_kernels:{kernel}",
            "arch": arch,
            "signature": {"p_scores": f"*{dtype}"} | fp32 | numbers,
            "constants": constants,
            "multiples_of_16": ["B"],
            "num_warps": num_warps,
            "num_stages": 3,
            "maxnreg": maxnreg,
            "blocks": blocks,
        }

    for k, dtype in ((300, "bf16"), (3000, "fp32"), (3000, "bf16"), (8000, "fp32")):
        c = triton_kernels.choose_config((4096, k), processors=132)
        tile = {"BB": c.BB, "BK": c.BK, "UNIT": in_units(k)[1]}
        meant = c.num_warps, c.blocks, c.maxnreg
        yield case(f"start {k} {dtype}", "start_kernel", dtype, tile, *meant)
        for last in (False, True):
            yield case(f"row {k} {dtype} {last=}", "row_kernel", dtype, tile | {"LAST": last}, *meant)
    for last in (False, True):
        tile = {"BK": triton_kernels.WIDE_BK, "LAST": last, "UNIT": 8}
        yield case(f"wide row {last=}", "wide_row_kernel", "bf16", tile, 8)
    for start in (False, True):
        tile = {"BB": triton_kernels.WIDE_BB, "BC": triton_kernels.WIDE_BC, "START": start, "UNIT": 8}
        yield case(f"wide column {start=}", "wide_column_kernel", "bf16", tile, 4)
        tile = {"BP": triton_kernels.BP, "BC": triton_kernels.BC, "START": start, "UNIT": 8}
        yield case(f"merge {start=}", "merge_kernel", "fp32", tile, 4)


ROWS = tuple(f"{kernel} {k}" for kernel in ("start", "row") for k in (3000, 8000))
LAUNCHES = Launches(cases, wide=(*ROWS, "wide", "merge"), wide_offsets=True)
