import pytest

from tests.kernels.launches import Launches


def cases(arch, counting=False):
    """Yields every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_kernels = pytest.importorskip("sslfast.kernels.info_nce.triton_kernels")
    streaming = "sslfast.kernels.common.streaming"
    fp32 = dict.fromkeys(("p_max", "p_sum", "p_acc", "p_loss", "p_dq", "p_products"), "*fp32")
    numbers = dict.fromkeys(("N", "K", "D", "C", "split_rows", "splits", "chunk_rows", "offset"), "i32") | {
        "scale": "fp32",
        "inverse_t": "fp32",
    }

    def case(name, kernel, dtype, constants, num_warps, num_stages=3, blocks=1):
        given = dict.fromkeys(("p_query", "p_keys", "p_positives", "p_powers"), f"*{dtype}")
        return name, {
            "kernel": kernel,
            "arch": arch,
            "signature": given | fp32 | numbers,
            "constants": constants,
            "multiples_of_16": ["N", "K", "D", "C", "split_rows"],
            "num_warps": num_warps,
            "num_stages": num_stages,
            "blocks": 1 if arch == 120 else blocks,
        }

    plain = {"TMA": False, "WHOLE": False}
    absent = {"TARGETS": False, "IDS": False, "p_row_ids": None, "p_key_ids": None}
    no_positive_rank = {"NEED_POSITIVE_RANK": False, "p_positive": None, "p_above": None}
    widths = (64, 128) if arch == 120 else (64, 128, 256)  # what shared memory holds; see MAX_SMALL_D
    for shape in [(4096, 65536, d) for d in widths]:
        c = triton_kernels.streaming.choose_config(
            shape, 132, arch in (90, 100), hopper=arch == 90, comparing=counting
        )
        tile = {"BN": c.BN, "BK": c.BK, "BD": c.BD, "NEED_DQ": True} | plain | absent | no_positive_rank
        yield case(f"partial {shape}", f"{streaming}:partial_kernel", "bf16", tile, *c[-3:])
    for d in widths if arch in (90, 100) else ():
        c = triton_kernels.streaming.choose_tma_config((4096, 65536, d), 132, arch == 90, counting=counting)
        for k in (65536, 65537) if d == 256 else (65536,):
            tile = {"BN": c.BN, "BK": c.BK, "BD": c.BD, "NEED_DQ": True} | absent | no_positive_rank
            tile |= {"TMA": True, "WHOLE": k % c.BK == 0}
            yield case(f"tma {4096, k, d}", f"{streaming}:partial_kernel", "bf16", tile, *c[-3:])
    for splits, d in ((99, 64), (99, 128), (16, 128), (64, 2048)):
        bs, num_warps = triton_kernels.streaming.merge_config(splits, d)
        constants = {"BS": bs, "BD": d, "NEED_DQ": True, "NEED_ROWS": False, "p_rows": None}
        yield case(f"merge {splits} of {d}", f"{streaming}:merge_kernel", "bf16", constants, num_warps)
    power = "sslfast.kernels.info_nce.triton_kernels:power_kernel"
    tile = {"BC": 16384, "BD": triton_kernels.POWER_BD, "NEED_DQ": True} | no_positive_rank
    yield case("power", power, "fp32", tile, 8)


LAUNCHES = Launches(
    cases, wgmma=("partial", "tma"), streams="partial", specialized="tma", wide=("partial", "merge", "power")
)
