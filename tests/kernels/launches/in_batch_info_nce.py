import pytest

from tests.kernels.launches import Launches


def cases(arch):
    """Yields every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    module = "sslfast.kernels.in_batch_info_nce.triton_kernels"
    streaming = pytest.importorskip("sslfast.kernels.common.streaming")
    fp32 = ("p_max", "p_sum", "p_acc", "p_rows", "p_dk", "p_products", "p_loss", "p_dq", "p_weights")
    signature = dict.fromkeys(fp32, "*fp32") | dict.fromkeys(("p_row_ids", "p_key_ids"), "*i64")
    signature |= dict.fromkeys(("p_query", "p_keys", "p_positives", "p_gradients"), "*bf16")
    numbers = ("N", "K", "M", "D", "split_rows", "splits", "chunk_rows", "offset", "start")
    signature |= dict.fromkeys(numbers, "i32") | {"scale": "fp32", "inverse_t": "fp32"}

    def case(name, kernel, constants, num_warps, num_stages=3, blocks=1):
        return name, {
            "kernel": kernel,
            "arch": arch,
            "signature": signature,
            "constants": constants,
            "multiples_of_16": ["N", "K", "M", "D", "split_rows", "chunk_rows"],
            "num_warps": num_warps,
            "num_stages": num_stages,
            "blocks": 1 if arch == 120 else blocks,
        }

    no_positive_rank = {"NEED_POSITIVE_RANK": False, "p_positive": None, "p_above": None}
    widths = (64, 128) if arch == 120 else (64, 128, 256)  # what shared memory holds; see MAX_SMALL_D
    for d in widths:
        c = streaming.choose_config((4096, 4096, d), 132, arch in (90, 100), comparing=True)
        tile = {"BN": c.BN, "BK": c.BK, "BD": c.BD, "TARGETS": True, "IDS": True, "NEED_DQ": True}
        tile |= {"TMA": False, "WHOLE": False} | no_positive_rank
        yield case(f"partial {d}", f"{streaming.__name__}:partial_kernel", tile, *c[-3:])
        tile = {"BM": c.BN, "BN": c.BK, "BD": c.BD, "IDS": True}
        yield case(f"keys {d}", f"{module}:keys_kernel", tile, *c[-3:])
    bs, num_warps = streaming.merge_config(4, 256)
    flags = {"BS": bs, "BD": 256, "NEED_DQ": True, "NEED_ROWS": True}
    yield case("merge", f"{streaming.__name__}:merge_kernel", flags, num_warps)
    flags = {"BM": 4096, "WEIGHTS": True, "IDS": True, "NEED_GRADIENTS": True}
    flags |= {"NEED_POSITIVE_RANK": False, "p_positive_rank": None}
    yield case("gradient", f"{module}:gradient_kernel", flags, 8)


LAUNCHES = Launches(
    cases, wgmma=("partial", "keys"), streams=("partial", "keys"), wide=("partial", "keys", "gradient")
)
