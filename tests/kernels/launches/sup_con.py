import pytest

from tests.kernels.launches import Launches


def cases(arch):
    """Every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_launch = pytest.importorskip("sslfast.kernels.sup_con.triton_launch")
    fp32 = "top sum count tops sums counts loss log_sum d_loss push pull shifted numbers dz products"
    types = {f"p_{name}": "*fp32" for name in fp32.split()}
    types |= dict.fromkeys(("p_positive", "p_positives"), "*fp64")
    types |= dict.fromkeys(("p_features", "p_weights"), "*bf16")
    types |= dict.fromkeys(("M", "D", "split_rows", "splits", "first", "rows"), "i32") | {
        "scale": "fp32",
        "inverse_t": "fp32",
    }

    def case(kernel, constants, num_warps, labeled=True, num_stages=3, **meant):
        labels = {"p_labels": "*i64"} if labeled else {}
        return f"{kernel} {constants} labels={labeled}", {
            "kernel": f"sslfast.kernels.sup_con.triton_kernels:{kernel}",
            "arch": arch,
            "signature": types | labels,
            "constants": constants if labeled else constants | {"p_labels": None},
            "multiples_of_16": ["M", "D", "split_rows"],
            "num_warps": num_warps,
            "num_stages": num_stages,
        } | meant

    for m, d, labeled in [*((8192, d, True) for d in (128, 256)), (8192, 128, False)]:
        for kernel in ("partial_kernel", "gradient_kernel"):
            c = triton_launch.choose_config(
                m, d, 132, arch in (90, 100), labeled=labeled, backward=kernel == "gradient_kernel"
            )
            tile = {"BM": c.BM, "BN": c.BN, "BD": c.BD}
            if kernel == "partial_kernel":
                tile |= {"NEED_POSITIVE_RANK": False, "p_pair": None, "p_above": None}
            meant = {"blocks": 1 if arch == 120 else c.blocks}
            if kernel == "gradient_kernel":
                meant |= {"powers": c.BN // 2}  # one a weight: 32 threads have 16 rows
            yield case(kernel, tile, c.num_warps, labeled, c.num_stages, **meant)
    yield case("merge_kernel", {"BS": triton_launch.MERGE_BS, "BM": triton_launch.MERGE_BM}, 4)
    yield case("prepare_kernel", {"BM": triton_launch.PREPARE_BM}, triton_launch.PREPARE_WARPS)
    no_positive_rank = {"NEED_POSITIVE_RANK": False, "p_pair": None, "p_positive_rank": None}
    yield case("row_kernel", {"BM": 4, "BN": 512} | no_positive_rank, 8)
    yield case("weight_kernel", {"BM": 16, "BN": 128}, 4)


PRODUCTS = "partial", "gradient"
LAUNCHES = Launches(cases, wgmma=PRODUCTS, streams=PRODUCTS, wide=(*PRODUCTS, "prepare"))
