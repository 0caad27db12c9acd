"""The launches of the kernels that count the negatives above the positive, made to count."""

from tests.kernels.launches import Launches, in_batch_info_nce, info_nce, sup_con


def cases(arch):
    """Yields the launches of three ops that may count, and that of the products they compare with."""
    counts = dict.fromkeys(("p_positive", "p_pair"), "*fp32") | {"p_above": "*i32", "p_positive_rank": "*i64"}
    launched = info_nce.cases(arch, counting=True), in_batch_info_nce.cases(arch), sup_con.cases(arch)
    for cases_of_op in launched:
        for name, case in cases_of_op:
            if "NEED_POSITIVE_RANK" in case["constants"]:
                constants = {name: value for name, value in case["constants"].items() if name not in counts}
                counting = {
                    "signature": case["signature"] | counts,
                    "constants": constants | {"NEED_POSITIVE_RANK": True},
                }
                yield name, case | counting
    yield (
        "positive",
        {
            "kernel": "sslfast.kernels.common.positives:positive_kernel",
            "arch": arch,
            "signature": dict.fromkeys(("p_rows", "p_positives"), "*bf16")
            | {"p_products": "*fp32", "P": "i32", "D": "i32"},
            "constants": {"BD": 2048},
            "multiples_of_16": ["P", "D"],
            "num_warps": 8,
            "num_stages": 3,
        },
    )


LAUNCHES = Launches(
    cases, wgmma=("partial", "tma"), streams="partial", specialized="tma", wide=("partial", "positive")
)
